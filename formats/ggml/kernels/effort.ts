// How hard the encoders search: set before a call, the same for all types.

/** 0 fast, 1 default, 2 best; -1 where error feedback is to choose codes and scales again, so that a rough guess will do. */
let effort: i32 = 1

/** Sets the search effort of all encoders. @param level 0 fast, 1 default, 2 best. */
export function set_effort(level: i32): void {
  effort = level
}

/** The first, second or third, as the effort is fast, default or best. */
// @ts-ignore: decorator
@inline
export function byEffort<T>(fast: T, normal: T, best: T): T {
  return effort == 1 ? normal : effort <= 0 ? fast : best
}

/** Whether scales are all that matters, and those roughly. */
// @ts-ignore: decorator
@inline
export function isRough(): bool {
  return effort < 0
}
