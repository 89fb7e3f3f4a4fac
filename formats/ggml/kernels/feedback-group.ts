// One group of error feedback (see feedback.ts): the search for its scales and its minimums, for sixteen rows. What a try leaves:
// feedback-trial.ts.

import { floatsToHalves, halvesToFloats } from './half'
import { add, clamp, invert, mul, pick, splat } from './lanes'
import { recordOf, unitOf } from './feedback-memory'
import { columnsOfGroup, error, hasLevels, hasMinimum, inverse, measure, offset, scale, useCodes } from './feedback-trial'

/** Lines of what is being tried: scale and minimum as they are stored. */
const triedScale: usize = memory.data(64, 16)
const triedMinimum: usize = memory.data(64, 16)
/** Lines of the best so far. */
const bestScale: usize = memory.data(64, 16)
const bestMinimum: usize = memory.data(64, 16)
const bestError: usize = memory.data(64, 16)

/** Groups of a super-block; 0 where scale and minimum are halves of the group's own. */
let groupsOfBlock: usize = 0
/** Bounds of integer scales; minimums have the same upper one. */
let leastScale: f32 = 0
let greatestScale: f32 = 0

/** Types of super-blocks: value = unit * scale * code - unit * minimum. */
export function useIntegers(
  columns: usize, low: f32, high: f32, leastInteger: f32, greatestInteger: f32, minimum: bool, levels: bool,
): void {
  useCodes(columns, low, high, minimum, levels)
  groupsOfBlock = 256 / columns
  leastScale = leastInteger
  greatestScale = greatestInteger
}

/** Types of blocks of 32: value = scale * code + minimum, both halves. */
export function useHalves(low: f32, high: f32, minimum: bool, levels: bool): void {
  useCodes(32, low, high, minimum, levels)
  groupsOfBlock = 0
}

/** The step from one code to the next in a group, for the four rows at `r`. */
export function stepOfGroup(group: usize, r: usize): v128 {
  const step = mul(v128.load(recordOf(group, 0) + r), splat(hasLevels ? 16 : 1))
  return groupsOfBlock == 0 ? step : mul(step, v128.load(unitOf(group / groupsOfBlock, 0) + r))
}

/** Of the scale, and of the minimum in parts of the scale: how far one step goes where they are halves. */
const scaleStep: f32 = 0.02
const minimumStep: f32 = 0.2

/**
 * Chooses scale, minimum and codes, and leaves the errors of the columns at `into`, a line each.
 * @param columns, within, curvatures see the tables in feedback.ts.
 * @param reach steps that scale and minimum may go from those in the record, either way.
 */
export function chooseGroup(columns: usize, within: usize, curvatures: usize, into: usize, reach: i32): void {
  // Whatever their order, the columns are those of one group.
  const group = <usize>load<u32>(columns) / columnsOfGroup
  const record = recordOf(group, 0)
  const unit = groupsOfBlock == 0 ? <usize>0 : unitOf(group / groupsOfBlock, 0)
  if (reach > 0) {
    for (let r: usize = 0; r < 64; r += 16) v128.store(bestError + r, splat(f32.MAX_VALUE))
    memory.copy(bestScale, record, 64)
    memory.copy(bestMinimum, record + 64, 64)
    const minimumReach = hasMinimum ? reach : 0
    for (let s = 0; s <= 2 * reach; s++) {
      for (let m = 0; m <= 2 * minimumReach; m++) {
        const up = stepOf(s), down = stepOf(m)
        // A wider range seldom goes with a minimum that is far less deep: half a percent of error for a sixth of the time.
        if (up * down < 0 && abs(up - down) > 2) continue
        propose(record, unit, up, down)
        settle(unit)
        measure(columns, within, curvatures, into, false)
        for (let r: usize = 0; r < 64; r += 16) {
          const found = v128.load(error + r)
          const best = v128.load(bestError + r)
          const better = f32x4.lt(found, best)
          v128.store(bestError + r, pick(better, found, best))
          v128.store(bestScale + r, pick(better, v128.load(triedScale + r), v128.load(bestScale + r)))
          v128.store(bestMinimum + r, pick(better, v128.load(triedMinimum + r), v128.load(bestMinimum + r)))
        }
      }
    }
    memory.copy(record, bestScale, 64)
    memory.copy(record + 64, bestMinimum, 64)
  }
  propose(record, unit, 0, 0)
  settle(unit)
  measure(columns, within, curvatures, into, true)
}

/** 0, 1, -1, 2, -2 ...: what the block has comes first, so that it stays where nothing is better. */
// @ts-ignore: decorator
@inline
function stepOf(k: i32): f32 {
  return <f32>(k & 1 ? (k + 1) >> 1 : -(k >> 1))
}

// @ts-ignore: decorator
@inline
function propose(record: usize, unit: usize, s: f32, m: f32): void {
  for (let r: usize = 0; r < 64; r += 16) {
    const s0 = v128.load(record + r)
    const m0 = v128.load(record + r, 64)
    if (unit != 0) {
      v128.store(triedScale + r, clamp(add(s0, splat(s)), splat(leastScale), splat(greatestScale)))
      v128.store(triedMinimum + r, clamp(add(m0, splat(m)), splat(0), splat(greatestScale)))
    } else {
      v128.store(triedScale + r, asHalf(mul(s0, splat(1 + s * scaleStep))))
      v128.store(triedMinimum + r, asHalf(add(m0, mul(s0, splat(m * minimumStep)))))
    }
  }
}

/** The values of the nearest halves. */
// @ts-ignore: decorator
@inline
function asHalf(x: v128): v128 {
  return halvesToFloats(floatsToHalves(clamp(x, splat(-65504), splat(65504))))
}

// @ts-ignore: decorator
@inline
function settle(unit: usize): void {
  for (let r: usize = 0; r < 64; r += 16) {
    let s = v128.load(triedScale + r)
    let m = v128.load(triedMinimum + r)
    if (unit != 0) {
      s = mul(s, v128.load(unit + r))
      m = f32x4.neg(mul(m, v128.load(unit + r, 64)))
    }
    v128.store(scale + r, s)
    v128.store(inverse + r, invert(s))
    v128.store(offset + r, m)
  }
}
