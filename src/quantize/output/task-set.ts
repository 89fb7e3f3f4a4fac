/** Numbers of tasks, a bit each: a model of 671 billion weights has 2.6 million of them. */
export interface TaskSet {
  /** How many there are. */
  readonly size: number
  has(task: number): boolean
  /** @throws RangeError for a number outside of the set's range. */
  add(task: number): void
}

/** An empty set of numbers from 0 to `count` (exclusive). */
export function newTaskSet(count: number): TaskSet {
  const bits = new Uint8Array(Math.ceil(count / 8))
  let size = 0
  const has = (task: number): boolean => ((bits[Math.floor(task / 8)] ?? 0) & (1 << (task % 8))) !== 0
  return {
    get size() {
      return size
    },
    has,
    add(task) {
      if (!(task >= 0 && task < count)) throw new RangeError(`task ${task} of ${count}`)
      if (has(task)) return
      const at = Math.floor(task / 8)
      bits[at] = (bits[at] as number) | (1 << (task % 8))
      size += 1
    },
  }
}
