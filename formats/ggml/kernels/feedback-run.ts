// One run of error feedback (see feedback.ts) for types with a codebook: 16 or 32 values of one scale, eight at a time, for sixteen rows.
// Eight values get the point that is nearest to what they aim at, each weighed by what its miss costs if none of the others makes up
// for it; what they then miss together is passed on exactly.
//
// Memory map of the codes of eight columns: a line of points, the second four's in the upper half of the u32; a line of sign bits, or for
// IQ1 of 1 where the shift is negative.

import { takeEightSigns } from './codebook-block'
import { aims, codes, lineOf, recordOf, trials, unitOf } from './feedback-memory'
import { findAmongAll } from './feedback-point-search'
import { add, clamp, mul, pick, splat, sub } from './lanes'
import { findNear } from './near-points'
import { findOfThree, findTernary } from './ternary-search'

/** How points are found: a look at all; by cheap changes; of four values, among those that are near; of IQ1. */
export const ALL: i32 = 0
export const CHANGES: i32 = 1
export const NEAR: i32 = 2
export const TERNARY: i32 = 3

/** Columns of a run: 16 or 32. */
let columnsOfRun: usize = 32
let kind: i32 = ALL
/** f32 levels of a value, packed points, and how many there are. */
let levels: usize = 0
let points: usize = 0
let count: u32 = 0
/** ALL, CHANGES: whether eight values have an even number of signs. TERNARY: whether a run has one shift. */
let even: bool = false
/** Lists of near points. */
let lists: usize = 0
let greatestScale: f32 = 15

/** The type: value = unit * (2 * scale + 1) * level with a sign, or * (level + shift) for IQ1. */
export function usePoints(
  columns: usize, how: i32, levelsAt: usize, pointsAt: usize, pointCount: u32, evenSigns: bool, greatest: f32, listsAt: usize,
): void {
  columnsOfRun = columns
  kind = how
  levels = levelsAt
  points = pointsAt
  count = pointCount
  even = evenSigns
  greatestScale = greatest
  lists = listsAt
}

const shiftOfIq1: f32 = 0.125
/** Points of a list to look at. */
const breadth: usize = 16

/** What a miss of a column costs if none of the eight makes up for it. */
const costs: usize = memory.data(128, 16)
/** Lines of eight columns: what they aim at before any of them is chosen, and what is stored for them. */
const wanted: usize = memory.data(512, 16)
const stored: usize = memory.data(512, 16)
/** Of four rows, in the order of the columns in the row: values or magnitudes, and their weights. */
const magnitudes: usize = memory.data(128, 16)
const weights: usize = memory.data(128, 16)
/** Points that were found, and their errors; twice. */
const found: usize = memory.data(64, 16)
const inverse: usize = memory.data(16, 16)

/** Lines: the scale and the shift that are tried, what the scale amounts to, the error they leave, and the least error. */
const triedScale: usize = memory.data(64, 16)
let triedShift: f32 = 0
const scale: usize = memory.data(64, 16)
const error: usize = memory.data(64, 16)
const leastError: usize = memory.data(64, 16)
/** The codes of what is tried, for 32 columns; then the scale that they have. */
const triedCodes: usize = memory.data(512, 16)
const first: usize = memory.data(64, 16)

/** Does what `stepOfGroup` does; levels are two apart, or one for IQ1. */
export function stepOfRun(run: usize, r: usize): v128 {
  const s = v128.load(recordOf(run, 0) + r), unit = v128.load(unitOf((run * columnsOfRun) >> 8, 0) + r)
  return mul(mul(add(add(s, s), splat(1)), unit), splat(kind == TERNARY ? 1 : 2))
}

/** Does what `chooseGroup` does. */
export function chooseRun(columns: usize, within: usize, curvatures: usize, into: usize, reach: i32): void {
  const run = <usize>load<u32>(columns) / columnsOfRun
  const record = recordOf(run, 0), unit = unitOf((run * columnsOfRun) >> 8, 0)
  const ownCodes = codes + 16 * columnsOfRun * run
  costColumns(within, curvatures)
  memory.copy(first, record, 64)
  const shifts = kind == TERNARY && even ? 2 : 1
  for (let k = 0; k < (2 * reach + 1) * shifts; k++) {
    const s = k / shifts
    triedShift = k % shifts == 0 ? shiftOfIq1 : -shiftOfIq1
    propose(unit, <f32>(s & 1 ? (s + 1) >> 1 : -(s >> 1)))
    measure(columns, within, curvatures)
    for (let r: usize = 0; r < 64; r += 16) {
      const now = v128.load(error + r)
      // The first is kept in any case, even if its error is not a number.
      const better = k == 0 ? i32x4.splat(-1) : f32x4.lt(now, v128.load(leastError + r))
      keepLines(better, error + r, leastError + r, 1)
      keepLines(better, triedScale + r, record + r, 1)
      if (kind == TERNARY) v128.store(record + r, pick(better, splat(triedShift), v128.load(record + r, 64)), 64)
      keepLines(better, trials + r, into + r, columnsOfRun)
      keepLines(better, triedCodes + r, ownCodes + r, columnsOfRun >> 2)
    }
  }
}

// @ts-ignore: decorator
@inline
function keepLines(mask: v128, from: usize, to: usize, lines: usize): void {
  for (let at: usize = 0; at < 64 * lines; at += 64) v128.store(to + at, pick(mask, v128.load(from + at), v128.load(to + at)))
}

// @ts-ignore: decorator
@inline
function propose(unit: usize, step: f32): void {
  for (let r: usize = 0; r < 64; r += 16) {
    const s = clamp(add(v128.load(first + r), splat(step)), splat(0), splat(greatestScale))
    v128.store(triedScale + r, s)
    v128.store(scale + r, mul(add(add(s, s), splat(1)), v128.load(unit + r)))
  }
}

/** Fills `costs`: for each column its D, and the sum of D_l M_jl^2 over the columns l of its eight that come after it. */
function costColumns(within: usize, curvatures: usize): void {
  const n = columnsOfRun
  for (let j: usize = 0; j < n; j++) {
    let cost = load<f32>(curvatures + 4 * j)
    for (let l = j + 1; l < ((j + 8) & ~7); l++) {
      const m = load<f32>(within + 4 * (n * l + j))
      cost += load<f32>(curvatures + 4 * l) * m * m
    }
    store<f32>(costs + 4 * j, cost)
  }
}

/** Finds the points for what is tried, their error, and the errors of the columns, which go to `trials`. */
function measure(columns: usize, within: usize, curvatures: usize): void {
  const n = columnsOfRun
  for (let r: usize = 0; r < 64; r += 16) v128.store(error + r, splat(0))
  for (let eight: usize = 0; eight < n; eight += 8) {
    for (let j = eight; j < eight + 8; j += 2) aimTwo(aims + 64 * j, within + 4 * n * j, eight, wanted + 64 * (j - eight))
    const place: usize = 16 * ((<usize>load<u32>(columns + 4 * eight) & (n - 1)) & ~7)
    for (let r: usize = 0; r < 64; r += 16) choosePoints(columns + 4 * eight, costs + 4 * eight, r, triedCodes + place)
    for (let j: usize = 0; j < 8; j++) {
      const column = load<u32>(columns + 4 * (eight + j))
      const factors = within + 4 * (n * (eight + j) + eight)
      const line = lineOf(column), to = trials + 64 * (eight + j), value = stored + 64 * <usize>(column & 7)
      const curvature = v128.load32_splat(curvatures + 4 * (eight + j))
      for (let r: usize = 0; r < 64; r += 16) {
        let aim = v128.load(wanted + 64 * j + r)
        for (let i: usize = 0; i < j; i++) {
          aim = add(aim, mul(v128.load(trials + 64 * (eight + i) + r), v128.load32_splat(factors + 4 * i)))
        }
        const miss = sub(aim, v128.load(value + r))
        v128.store(error + r, add(v128.load(error + r), mul(curvature, mul(miss, miss))))
        v128.store(to + r, sub(v128.load(line + r), v128.load(value + r)))
      }
    }
  }
}

/** Two lines of aims with what the first `known` columns of the run lost. */
// @ts-ignore: decorator
@inline
function aimTwo(from: usize, factors: usize, known: usize, to: usize): void {
  const n = columnsOfRun
  for (let r: usize = 0; r < 64; r += 32) {
    let a0 = v128.load(from + r)
    let a1 = v128.load(from + r, 16)
    let b0 = v128.load(from + r, 64)
    let b1 = v128.load(from + r, 80)
    for (let i: usize = 0; i < known; i++) {
      const e0 = v128.load(trials + 64 * i + r), e1 = v128.load(trials + 64 * i + r, 16)
      const a = v128.load32_splat(factors + 4 * i), b = v128.load32_splat(factors + 4 * (n + i))
      a0 = add(a0, mul(e0, a))
      a1 = add(a1, mul(e1, a))
      b0 = add(b0, mul(e0, b))
      b1 = add(b1, mul(e1, b))
    }
    v128.store(to + r, a0)
    v128.store(to + r, a1, 16)
    v128.store(to + r, b0, 64)
    v128.store(to + r, b1, 80)
  }
}

/** The points of eight columns for the four rows at `r`; leaves what is stored, in the order of the columns in the row. */
function choosePoints(columns: usize, costs: usize, r: usize, to: usize): void {
  for (let j: usize = 0; j < 8; j++) {
    const at: usize = 16 * <usize>(load<u32>(columns + 4 * j) & 7)
    v128.store(magnitudes + at, v128.load(wanted + 64 * j + r))
    v128.store(weights + at, v128.load32_splat(costs + 4 * j))
  }
  const s = v128.load(scale + r)
  // Bounded for scales that are as good as zero: squares stay finite.
  v128.store(inverse, f32x4.pmin(f32x4.div(splat(1), s), splat(1.0995116e12)))
  if (kind == TERNARY) {
    chooseTernary(s, r, to)
    return
  }
  takeEightSigns(magnitudes, weights, even, to + r + 64)
  const signs = v128.load(to + r, 64)
  if (kind == NEAR) {
    findNear(magnitudes, weights, inverse, lists, breadth, found)
    findNear(magnitudes + 64, weights + 64, inverse, lists, breadth, found + 32)
    storeLevels(found, 4, 3, stored + r)
    storeLevels(found + 32, 4, 3, stored + 256 + r)
    v128.store(to + r, v128.or(v128.load(found), i32x4.shl(v128.load(found, 32), 16)))
  } else {
    if (kind == ALL) findAmongAll(magnitudes, weights, scale + r, levels, points, count, found)
    else findOfThree(magnitudes, weights, inverse, levels, points, count, found)
    storeLevels(found, 8, 2, stored + r)
    v128.store(to + r, v128.load(found))
  }
  for (let i: usize = 0; i < 8; i++) {
    const sign = i32x4.shl(i32x4.shr_u(signs, <i32>i), 31)
    v128.store(stored + 64 * i + r, v128.xor(mul(v128.load(stored + 64 * i + r), s), sign))
  }
}

/** IQ1: points of either shift, or of the one that the run has. */
// @ts-ignore: decorator
@inline
function chooseTernary(s: v128, r: usize, to: usize): void {
  let negative = i32x4.splat(triedShift < 0 ? -1 : 0)
  findTernary(magnitudes, weights, inverse, triedShift, found)
  if (!even) {
    findTernary(magnitudes, weights, inverse, -triedShift, found + 32)
    negative = f32x4.lt(v128.load(found, 48), v128.load(found, 16))
    v128.store(found, pick(negative, v128.load(found, 32), v128.load(found)))
  }
  v128.store(to + r, v128.load(found))
  v128.store(to + r, i32x4.neg(negative), 64)
  storeLevels(found, 8, 2, stored + r)
  const shift = pick(negative, splat(-shiftOfIq1), splat(shiftOfIq1))
  for (let i: usize = 0; i < 8; i++) {
    v128.store(stored + 64 * i + r, mul(add(v128.load(stored + 64 * i + r), shift), s))
  }
}

/** Writes the levels of four points, a line for each value. */
// @ts-ignore: decorator
@inline
function storeLevels(numbers: usize, values: usize, bits: u32, to: usize): void {
  for (let lane: usize = 0; lane < 16; lane += 4) {
    let packed = <u32>load<u16>(points + 2 * <usize>load<u32>(numbers + lane))
    for (let i: usize = 0; i < values; i++) {
      store<f32>(to + 64 * i + lane, load<f32>(levels + 4 * <usize>(packed & ((1 << bits) - 1))))
      packed >>= bits
    }
  }
}

/** A row's point of the eight columns from `column` on, or with `second` 1 of the latter four. */
// @ts-ignore: decorator
@inline
export function pointOf(column: usize, row: usize, second: usize): u32 {
  return load<u16>(codes + 16 * column + 4 * row + 2 * second)
}

/** Their signs, a bit each; or 1 for a negative shift. */
// @ts-ignore: decorator
@inline
export function signsOf(column: usize, row: usize): u32 {
  return load<u8>(codes + 16 * column + 64 + 4 * row)
}
