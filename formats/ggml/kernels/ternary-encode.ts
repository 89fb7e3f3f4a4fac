// The encoder that IQ1_S and IQ1_M share: value = scale * (level + shift), levels -1, 0, 1 of a codebook of 2048 points of eight, shift
// 1/8 or -1/8, scale = d * (1, 3, .. 15). IQ1_S has a scale and a shift for 32 values; IQ1_M a scale for 16 and a shift for each eight.
//
// For each run the scale is guessed as if all combinations of levels were points; with the common factor d found, the two nearest
// multiples of it are tried with both shifts and true points, the best are kept, and d is fitted to them. Four runs are in the lanes.
import { fitOddMultiples, nearestOdd } from './codebook-scale'
import { pointsOfIq1 } from './codebooks'
import { byEffort } from './effort'
import { nextFactor, shrinkageCorrectedFactor, toHalf } from './factor'
import { halfToFloat } from './half'
import { add, mul, pick, splat, sub, values, weights } from './lanes'
import { loadSuperBlock, weighedSquares } from './load'
import { findTernary } from './ternary-search'

const delta: f32 = 0.125

/** Guessed scale of each run and how sharp it is, up to 16 f32. */
const scales = memory.data(64, 16)
const curvatures = memory.data(64, 16)
/** The chosen odd multiple of each run, f32. */
const multiples = memory.data(64, 16)
/** One over the scale that is tried, and what is found with it: for each group the points and errors of either shift. */
const inverse = memory.data(16, 16)
const found = memory.data(256, 16)
/** The best points and shifts (all bits set where negative) of four runs so far, a vector for each group. */
const points = memory.data(64, 16)
const shifts = memory.data(64, 16)
/** The same of a round, in the order of the groups, u16 and u8; and of the best round. The multiples are f32. */
const triedPoints = memory.data(64, 16)
const triedShifts = memory.data(32, 16)
const triedMultiples = memory.data(64, 16)
const chosenPoints = memory.data(64, 16)
const chosenShifts = memory.data(32, 16)

/** The chosen point of group `i` of the super-block. */
// @ts-ignore: decorator
@inline
export function pointOf(i: usize): u32 { return load<u16>(chosenPoints + 2 * i) }
/** 1 where the shift of group `i` is negative. */
// @ts-ignore: decorator
@inline
export function shiftOf(i: usize): u32 { return load<u8>(chosenShifts + i) }
// @ts-ignore: decorator
@inline
export function setPoint(i: usize, point: u32, shift: u32): void {
  store<u16>(chosenPoints + 2 * i, point)
  store<u8>(chosenShifts + i, shift)
}
/** The code of run `i`'s scale: (multiple - 1) / 2. */
// @ts-ignore: decorator
@inline
export function scaleOf(i: usize): u32 { return <u32>load<f32>(multiples + 4 * i) >> 1 }
// @ts-ignore: decorator
@inline
export function setScale(i: usize, code: f32): void { store<f32>(multiples + 4 * i, 2 * code + 1) }

/** The error of a vector of values, in units of the scale squared, if every combination of levels were a point. */
// @ts-ignore: decorator
@inline
function freeError(t: v128, weight: v128): v128 {
  const a = f32x4.abs(t)
  const rest = sub(a, v128.and(f32x4.gt(a, splat(0.5)), splat(1)))
  return mul(weight, mul(rest, rest))
}

/** Guesses the scales of four runs of n; `shared`: one shift for a run, otherwise one for each eight. */
// @ts-ignore: decorator
@inline
function guessScale(at: usize, n: usize, shared: bool, scaleAt: usize, curvatureAt: usize): void {
  let wxx = splat(0), ww = splat(0)
  for (let i = at; i < at + 16 * n; i += 16) {
    const x = v128.load(values + i), w = v128.load(weights + i)
    wxx = add(wxx, mul(mul(x, x), w))
    ww = add(ww, w)
  }
  let scale = mul(f32x4.pmax(f32x4.sqrt(f32x4.div(wxx, ww)), splat(1e-6)), splat(0.7))
  let bestError = wxx, best = splat(0)
  for (let k = 0; k < 11; k++) {
    const by = f32x4.div(splat(1), scale)
    let error = splat(0), above = splat(0), below = splat(0)
    for (let group = at; group < at + 16 * n; group += 128) {
      for (let i = group; i < group + 128; i += 16) {
        const t = mul(v128.load(values + i), by), w = v128.load(weights + i)
        above = add(above, freeError(sub(t, splat(delta)), w))
        below = add(below, freeError(add(t, splat(delta)), w))
      }
      if (!shared) {
        error = add(error, f32x4.pmin(above, below))
        above = splat(0)
        below = splat(0)
      }
    }
    if (shared) error = f32x4.pmin(above, below)
    error = mul(error, mul(scale, scale))
    const better = f32x4.lt(error, bestError)
    bestError = pick(better, error, bestError)
    best = pick(better, scale, best)
    scale = mul(scale, splat(1.13))
  }
  v128.store(scaleAt, best)
  v128.store(curvatureAt, ww)
}

/**
 * Tries multiples of a factor with both shifts; keeps the points and shifts of the best.
 * @returns its errors.
 */
// @ts-ignore: decorator
@inline
function tryMultiple(at: usize, groups: usize, shared: bool, scale: v128, bestError: v128): v128 {
  // Bounded for values that no half reaches: their squares stay finite.
  v128.store(inverse, f32x4.pmin(f32x4.div(splat(1), scale), splat(1.0995116e12)))
  let above = splat(0), below = splat(0), error = splat(0)
  for (let group: usize = 0; group < groups; group++) {
    const x = values + at + 128 * group, w = weights + at + 128 * group, to = found + 64 * group
    findTernary(x, w, inverse, delta, to)
    findTernary(x, w, inverse, -delta, to + 32)
    above = add(above, v128.load(to, 16))
    below = add(below, v128.load(to, 48))
    error = add(error, f32x4.pmin(v128.load(to, 16), v128.load(to, 48)))
  }
  if (shared) error = f32x4.pmin(above, below)
  error = mul(error, mul(scale, scale))
  const better = f32x4.lt(error, bestError)
  for (let group: usize = 0; group < groups; group++) {
    const to = found + 64 * group
    const negative = shared ? f32x4.lt(below, above) : f32x4.lt(v128.load(to, 48), v128.load(to, 16))
    const point = pick(negative, v128.load(to, 32), v128.load(to, 0))
    v128.store(points + 16 * group, pick(better, point, v128.load(points + 16 * group)))
    v128.store(shifts + 16 * group, pick(better, negative, v128.load(shifts + 16 * group)))
  }
  return error
}

let sumXQ: f32 = 0
let sumQQ: f32 = 0

/** Notes the points and shifts of four runs, and adds to the sums from which d is fitted. */
function settle(at: usize, quad: usize, groups: usize): void {
  for (let group: usize = 0; group < groups; group++) {
    for (let lane: usize = 0; lane < 4; lane++) {
      const run: usize = 4 * quad + lane, i: usize = run * groups + group
      const point = load<u32>(points + 16 * group + 4 * lane), negative = load<u32>(shifts + 16 * group + 4 * lane) & 1
      store<u16>(triedPoints + 2 * i, point)
      store<u8>(triedShifts + i, negative)
      const shift: f32 = negative ? -delta - 1 : delta - 1, multiple = load<f32>(triedMultiples + 4 * run)
      let packed = <u32>load<u16>(pointsOfIq1 + 2 * <usize>point)
      for (let offset = at + 128 * group + 4 * lane, end = offset + 128; offset < end; offset += 16) {
        const level = (<f32>(packed & 3) + shift) * multiple, wq = load<f32>(weights + offset) * level
        sumXQ += wq * load<f32>(values + offset)
        sumQQ += wq * level
        packed >>= 2
      }
    }
  }
}

/**
 * Chooses points, shifts and multiples for 256 values; numberPoints was called before.
 * @param n values that share a scale: 32 or 16.
 * @param shared whether they share the shift too.
 * @returns the factor, as the bits of a half; 0 where all values are as good as zero.
 */
// @ts-ignore: decorator
@inline
export function encodeTernary(source: usize, importance: usize, n: usize, shared: bool): u32 {
  const normal = loadSuperBlock(source, importance, n, 2)
  if (normal == 0) return 0
  const groups: usize = n >> 3, quads: usize = 64 / n, bytes: usize = 16 * n
  for (let quad: usize = 0; quad < quads; quad++) {
    guessScale(bytes * quad, n, shared, scales + 16 * quad, curvatures + 16 * quad)
  }
  const first = toHalf(fitOddMultiples(scales, curvatures, 4 * quads, 8) / normal)
  if (first == 0) return 0
  let half = first
  let bestGain: f32 = -1
  const tried = byEffort(1, 2, 3), rounds = byEffort(1, 1, 3)
  for (let round = 0; round < rounds; round++) {
    const factor = round == 0 ? halfToFloat(first) : nextFactor(round, halfToFloat(first), halfToFloat(half))
    const unit = splat(factor * normal)
    sumXQ = 0
    sumQQ = 0
    for (let quad: usize = 0; quad < quads; quad++) {
      const guess = v128.load(scales + 16 * quad)
      let multiple = nearestOdd(f32x4.div(guess, unit), 15)
      let step = pick(f32x4.gt(guess, mul(multiple, unit)), splat(2), splat(-2))
      let best = multiple, error = splat(Infinity)
      for (let k = 0; k < tried; k++) {
        const found = tryMultiple(bytes * quad, groups, shared, mul(multiple, unit), error)
        const better = f32x4.lt(found, error)
        best = pick(better, multiple, best)
        error = pick(better, found, error)
        // One to the side of the guess, then one to the other side.
        multiple = f32x4.pmin(f32x4.pmax(add(multiple, step), splat(1)), splat(15))
        step = f32x4.neg(add(step, step))
      }
      v128.store(triedMultiples + 16 * quad, best)
      settle(bytes * quad, quad, groups)
    }
    const gain = sumXQ / sumQQ * sumXQ
    if (gain <= bestGain) continue
    bestGain = gain
    memory.copy(multiples, triedMultiples, 64)
    memory.copy(chosenPoints, triedPoints, 64)
    memory.copy(chosenShifts, triedShifts, 32)
    // Among subnormal halves the steps are large, and the choice was made for this one.
    if (half < 0x400) return half
    if (sumXQ > 0) half = toHalf(shrinkageCorrectedFactor(sumXQ, sumQQ, weighedSquares()) / normal)
  }
  return half
}
