// Search for scale and offset of types whose values are scale * code - minimum: four sub-blocks in the lanes.
//
// Memory map: each group of four sub-blocks has a record of 16-byte vectors (offsets below); `trial` holds the three sums of the
// assignment of codes measured last. Values are kept as y = x - low, at least 0.

import { halfToFloat } from './half'
import {
  add, codes, divide, fitFactor, inverseOfPower, largest, least, loadSuperBlock, most, mul, nearest, pick, rounder, splat,
  storeCodes, sub, toHalf, values, weights,
} from './lanes'

/** Record of a group: the least value (at most 0). */
export const LOW: usize = 0
/** Sum of w. */
export const W: usize = 16
/** Sum of w y. */
export const WY: usize = 32
/** Sum of w y^2. */
export const WYY: usize = 48
/** Range of the values. */
export const RANGE: usize = 64
/** Least error found. */
export const ERROR: usize = 80
/** Its scale. */
export const SCALE: usize = 96
/** Its offset: y is about scale * code + offset. */
export const OFFSET: usize = 112
/** Its sums of w l, w l^2, w l y. */
export const L: usize = 128
export const LL: usize = 144
export const LY: usize = 160
/** Bytes of a record. */
export const recordBytes: usize = 176

const trial: usize = memory.data(48, 16)

/** Shifts n vectors of values to start at 0 and begins their record. `ceiling` bounds the least value. */
@inline export function beginAffine(y: usize, w: usize, n: usize, record: usize, ceiling: f32): void {
  let low = splat(ceiling), high = splat(-f32.MAX_VALUE)
  for (let at: usize = 0; at < 16 * n; at += 16) {
    const x = v128.load(y + at)
    low = least(low, x)
    high = most(high, x)
  }
  let sw = splat(0), swy = splat(0), swyy = splat(0)
  for (let at: usize = 0; at < 16 * n; at += 16) {
    const x = sub(v128.load(y + at), low), weight = v128.load(w + at), wx = mul(weight, x)
    v128.store(y + at, x)
    sw = add(sw, weight)
    swy = add(swy, wx)
    swyy = add(swyy, mul(wx, x))
  }
  v128.store(record, low, LOW)
  v128.store(record, sw, W)
  v128.store(record, swy, WY)
  v128.store(record, swyy, WYY)
  v128.store(record, sub(high, low), RANGE)
  // Scale 0, offset 0: every value at `low`.
  v128.store(record, swyy, ERROR)
  v128.store(record, splat(0), SCALE)
  v128.store(record, splat(0), OFFSET)
  v128.store(record, splat(0), L)
  v128.store(record, splat(0), LL)
  v128.store(record, splat(0), LY)
}

/** Sums for the codes round(y * inverse + shift), clamped to 0 .. top. */
@inline function measure(y: usize, w: usize, n: usize, inverse: v128, shift: v128, top: f32): void {
  let sl = splat(0), sll = splat(0), sly = splat(0)
  const low = splat(rounder), high = splat(rounder + top)
  for (let at: usize = 0; at < 16 * n; at += 16) {
    const x = v128.load(y + at)
    const l = sub(least(most(add(add(mul(x, inverse), shift), low), low), high), low)
    const wl = mul(v128.load(w + at), l)
    sl = add(sl, wl)
    sll = add(sll, mul(wl, l))
    sly = add(sly, mul(wl, x))
  }
  v128.store(trial, sl)
  v128.store(trial, sll, 16)
  v128.store(trial, sly, 32)
}

/** Weighted squared error of y = scale * l + offset for the codes behind the sums. */
@inline export function affineError(record: usize, sl: v128, sll: v128, sly: v128, scale: v128, offset: v128): v128 {
  const two = splat(2)
  // s (s ll - 2 ly) + o (o w - 2 wy) + 2 s o l + wyy
  const s = mul(scale, sub(mul(scale, sll), mul(two, sly)))
  const o = mul(offset, sub(mul(offset, v128.load(record, W)), mul(two, v128.load(record, WY))))
  return add(v128.load(record, WYY), add(add(s, o), mul(mul(two, mul(scale, offset)), sl)))
}

/** Tries one scale and offset with their least-squares refit, and keeps it where it beats the record. */
@inline export function tryAffine(y: usize, w: usize, n: usize, record: usize, inverse: v128, shift: v128, top: f32, limit: v128): void {
  measure(y, w, n, inverse, shift, top)
  const sl = v128.load(trial), sll = v128.load(trial, 16), sly = v128.load(trial, 32)
  const sw = v128.load(record, W), sy = v128.load(record, WY)
  const product = mul(sw, sll)
  const determinant = sub(product, mul(sl, sl))
  let scale = divide(sub(mul(sw, sly), mul(sy, sl)), determinant)
  let offset = divide(sub(mul(sll, sy), mul(sl, sly)), determinant)
  // One column outweighing all others leaves nothing but rounding in the determinant.
  const sound = f32x4.gt(determinant, mul(product, splat(1e-5)))
  const above = f32x4.gt(offset, limit)
  offset = pick(sound, least(offset, limit), splat(0))
  scale = pick(v128.andnot(sound, above), scale, divide(sub(sly, mul(offset, sl)), sll))
  const error = affineError(record, sl, sll, sly, scale, offset)
  const better = v128.and(f32x4.lt(error, v128.load(record, ERROR)), f32x4.gt(scale, splat(0)))
  keep(record, ERROR, better, error)
  keep(record, SCALE, better, scale)
  keep(record, OFFSET, better, offset)
  keep(record, L, better, sl)
  keep(record, LL, better, sll)
  keep(record, LY, better, sly)
}

@inline export function keep(record: usize, field: usize, mask: v128, value: v128): void {
  v128.store(record + field, pick(mask, value, v128.load(record + field)))
}

/** Sums of the codes for a given scale and offset, and the error they leave with it; the sums are left in `trial`. */
@inline export function measureFixed(y: usize, w: usize, n: usize, record: usize, scale: v128, offset: v128, top: f32): v128 {
  const inverse = divide(splat(1), scale)
  measure(y, w, n, inverse, sub(splat(0), mul(offset, inverse)), top)
  return affineError(record, trialL(), trialLL(), trialLY(), scale, offset)
}

@inline export function trialL(): v128 { return v128.load(trial) }
@inline export function trialLL(): v128 { return v128.load(trial, 16) }
@inline export function trialLY(): v128 { return v128.load(trial, 32) }

const records: usize = memory.data(4 * 176, 16)
/** Per sub-block: scale, its curvature, minimum, its curvature; then the chosen integers. */
const scales: usize = memory.data(64, 16)
const curvatures: usize = memory.data(64, 16)
const minimums: usize = memory.data(64, 16)
const minimumCurvatures: usize = memory.data(64, 16)
/** The integer scales and minimums of the sub-blocks, as f32. */
export const scaleCodes: usize = memory.data(64, 16)
export const minimumCodes: usize = memory.data(64, 16)

/** Coarse to fine: candidates that stretch the range over `top` steps, more or less, then refits from the best. */
@inline function search(y: usize, w: usize, n: usize, record: usize, top: f32, limit: v128): void {
  const perRange = divide(splat(1), v128.load(record, RANGE))
  for (let k = 0; k < 12; k++) {
    tryAffine(y, w, n, record, mul(splat(top - 1.2 + 0.25 * <f32>k), perRange), splat(0), top, limit)
  }
  for (let k = 0; k < 3; k++) {
    const inverse = divide(splat(1), v128.load(record, SCALE))
    tryAffine(y, w, n, record, inverse, sub(splat(0), mul(v128.load(record, OFFSET), inverse)), top, limit)
  }
}

/** Searches scales and minimums, of any sign, of the four blocks in `values`, which it shifts. */
@inline export function searchBlocks(top: f32): void {
  beginAffine(values, weights, 32, records, f32.MAX_VALUE)
  search(values, weights, 32, records, top, splat(f32.MAX_VALUE))
}
/** Scales found by `searchBlocks`. */
@inline export function blockScales(): v128 { return v128.load(records, SCALE) }
/** Minimums found by `searchBlocks`. */
@inline export function blockMinimums(): v128 { return add(v128.load(records, LOW), v128.load(records, OFFSET)) }
/** Writes the codes of the four blocks for the given scales and minimums to `codes`. */
@inline export function blockCodes(scale: v128, minimum: v128, top: f32): void {
  emitAt(values, 32, scale, sub(minimum, v128.load(records, LOW)), codes, top)
}

/** Writes d, dmin and the scales to the target, and the codes to `codes`. */
@inline export function encodeAffine(
  source: usize, target: usize, importance: usize, n: usize, top: f32, integers: f32, sigmaFactor: f32,
): void {
  const factor = loadSuperBlock(source, importance, n, sigmaFactor)
  if (factor == 0) {
    store<u32>(target, 0)
    memory.fill(scaleCodes, 0, 64)
    memory.fill(minimumCodes, 0, 64)
    memory.fill(codes, 0, 256)
    return
  }
  for (let g: usize = 0; g < 64 / n; g++) {
    const y = values + 16 * n * g, w = weights + 16 * n * g, record = records + recordBytes * g
    beginAffine(y, w, n, record, 0)
    const limit = sub(splat(0), v128.load(record, LOW))
    search(y, w, n, record, top, limit)
    const sw = v128.load(record, W), sl = v128.load(record, L)
    v128.store(scales + 16 * g, v128.load(record, SCALE))
    v128.store(curvatures + 16 * g, sub(v128.load(record, LL), divide(mul(sl, sl), sw)))
    v128.store(minimums + 16 * g, sub(limit, v128.load(record, OFFSET)))
    v128.store(minimumCurvatures + 16 * g, sw)
  }
  const unit = inverseOfPower(factor)
  const d16 = toHalf(fitFactor(scales, curvatures, 256 / n, largest(scales, 256 / n), 0, integers, integers - 4, 0.3, 4) * unit)
  const m16 = toHalf(fitFactor(minimums, minimumCurvatures, 256 / n, largest(minimums, 256 / n), 0, integers, integers - 4, 0.3, 4) * unit)
  let d = halfToFloat(d16) * factor, m = halfToFloat(m16) * factor
  store<u16>(target, d16)
  store<u16>(target, m16, 2)
  for (let g: usize = 0; g < 64 / n; g++) {
    refine(g, n, splat(d), splat(m), top, integers)
    const record = records + recordBytes * g
    const offset = sub(splat(0), add(v128.load(record, LOW), mul(v128.load(minimumCodes + 16 * g), splat(m))))
    emitAt(values + 16 * n * g, n, mul(v128.load(scaleCodes + 16 * g), splat(d)), offset, codes + 4 * n * g, top)
  }
}

/** Chooses the integer scales and minimums of a group of sub-blocks. */
@inline function refine(g: usize, n: usize, d: v128, m: v128, top: f32, integers: f32): void {
  const y = values + 16 * n * g, w = weights + 16 * n * g, record = records + recordBytes * g
  const low = v128.load(record, LOW), perD = divide(splat(1), d), perM = divide(splat(1), m), mostInteger = splat(integers)
  let scale = least(most(nearest(mul(v128.load(record, SCALE), perD)), splat(0)), mostInteger)
  const sw = v128.load(record, W), swy = v128.load(record, WY), perW = divide(splat(1), sw)
  let minimum = least(most(nearest(mul(sub(sub(splat(0), low), v128.load(record, OFFSET)), perM)), splat(0)), mostInteger)
  v128.store(record, splat(f32.MAX_VALUE), ERROR)
  for (let k = 0; k < 3; k++) {
    const error = measureFixed(y, w, n, record, mul(scale, d), sub(sub(splat(0), low), mul(minimum, m)), top)
    const sl = trialL(), sll = trialLL(), sly = trialLY()
    const better = f32x4.lt(error, v128.load(record, ERROR))
    keep(record, ERROR, better, error)
    keep(record, SCALE, better, scale)
    keep(record, OFFSET, better, minimum)
    // With these codes, the best of the neighbouring integers.
    let bestError = error, bestScale = scale, bestMinimum = minimum
    for (let step: f32 = -1; step <= 1; step++) {
      const s = least(most(add(scale, splat(step)), splat(0)), mostInteger)
      const offset = mul(sub(swy, mul(mul(s, d), sl)), perW)
      const candidate = least(most(nearest(mul(sub(sub(splat(0), low), offset), perM)), splat(0)), mostInteger)
      const e = affineError(record, sl, sll, sly, mul(s, d), sub(sub(splat(0), low), mul(candidate, m)))
      const less = f32x4.lt(e, bestError)
      bestError = pick(less, e, bestError)
      bestScale = pick(less, s, bestScale)
      bestMinimum = pick(less, candidate, bestMinimum)
    }
    scale = bestScale
    minimum = bestMinimum
    const improved = f32x4.lt(bestError, v128.load(record, ERROR))
    keep(record, ERROR, improved, bestError)
    keep(record, SCALE, improved, bestScale)
    keep(record, OFFSET, improved, bestMinimum)
  }
  v128.store(scaleCodes + 16 * g, v128.load(record, SCALE))
  v128.store(minimumCodes + 16 * g, v128.load(record, OFFSET))
}

/** Writes the codes that fit the rounded scales and offsets best. */
@inline function emitAt(y: usize, n: usize, scale: v128, offset: v128, to: usize, top: f32): void {
  const inverse = divide(splat(1), scale), shift = sub(splat(0), mul(offset, inverse))
  for (let i: usize = 0; i < n; i += 4) {
    const at = y + 16 * i
    storeCodes(
      code(v128.load(at), inverse, shift, top), code(v128.load(at, 16), inverse, shift, top),
      code(v128.load(at, 32), inverse, shift, top), code(v128.load(at, 48), inverse, shift, top),
      to + i, n,
    )
  }
}

@inline function code(y: v128, inverse: v128, shift: v128, top: f32): v128 {
  return least(most(add(add(mul(y, inverse), shift), splat(rounder)), splat(rounder)), splat(rounder + top))
}

