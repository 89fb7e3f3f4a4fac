// Search for scale and offset of values near scale * code + offset, codes 0 .. top: four sub-blocks in the lanes.
//
// A candidate costs three sums over the values: with w the weight and l the code, sum w l, sum w l^2 and sum w l y. They give the best
// scale and offset for these codes (least squares) and the error in closed form. Values are kept as y = x - low, at least 0, since
// sums of squares around a distant mean would lose the digits that matter.
//
// Memory map: each group of four sub-blocks has a record of 16-byte vectors, at the offsets below; `trial` holds the sums of the codes
// measured last.

import { add, clamp, divide, invert, keep, least, most, mul, negate, pick, rounder, splat, storeCodes, sub } from './lanes'

/** The least value, and the range above it. */
export const LOW: usize = 0
const RANGE: usize = 16
/** Sums of w, w y and w y^2. */
export const W: usize = 32
export const WY: usize = 48
const WYY: usize = 64
/** The best found: its error, scale and offset, and its sums of w l, w l^2 and w l y. */
export const ERROR: usize = 80
export const SCALE: usize = 96
export const OFFSET: usize = 112
export const WL: usize = 128
export const WLL: usize = 144
export const WLY: usize = 160
/** Bytes of a record. */
export const recordBytes: usize = 176

const trial: usize = memory.data(48, 16)

/** Sum of w l of the codes measured last. */
// @ts-ignore: decorator
@inline
export function trialWl(): v128 {
  return v128.load(trial)
}

/** Shifts n vectors of values to start at 0, and begins their record with scale 0. The least value is at most `ceiling`. */
// @ts-ignore: decorator
@inline
function begin(y: usize, w: usize, n: usize, record: usize, ceiling: f32): void {
  let low = splat(ceiling)
  let high = splat(-f32.MAX_VALUE)
  for (let at: usize = 0; at < 16 * n; at += 16) {
    const x = v128.load(y + at)
    low = least(low, x)
    high = most(high, x)
  }
  let sw = splat(0)
  let swy = splat(0)
  let swyy = splat(0)
  for (let at: usize = 0; at < 16 * n; at += 16) {
    const x = sub(v128.load(y + at), low)
    const weight = v128.load(w + at)
    const wx = mul(weight, x)
    v128.store(y + at, x)
    sw = add(sw, weight)
    swy = add(swy, wx)
    swyy = add(swyy, mul(wx, x))
  }
  v128.store(record, low, LOW)
  v128.store(record, sub(high, low), RANGE)
  v128.store(record, sw, W)
  v128.store(record, swy, WY)
  v128.store(record, swyy, WYY)
  v128.store(record, swyy, ERROR)
  for (let field = SCALE; field < recordBytes; field += 16) v128.store(record + field, splat(0))
}

/** Leaves in `trial` the sums of the codes round(y * inverse + shift), clamped. */
function measure(y: usize, w: usize, n: usize, inverse: v128, shift: v128, top: f32): void {
  let sl = splat(0)
  let sll = splat(0)
  let sly = splat(0)
  const zero = splat(rounder)
  const high = splat(rounder + top)
  for (let at: usize = 0; at < 16 * n; at += 32) {
    const y0 = v128.load(y + at)
    const y1 = v128.load(y + at, 16)
    const l0 = sub(clamp(add(add(mul(y0, inverse), shift), zero), zero, high), zero)
    const l1 = sub(clamp(add(add(mul(y1, inverse), shift), zero), zero, high), zero)
    const w0 = mul(v128.load(w + at), l0)
    const w1 = mul(v128.load(w + at, 16), l1)
    sl = add(sl, add(w0, w1))
    sll = add(sll, add(mul(w0, l0), mul(w1, l1)))
    sly = add(sly, add(mul(w0, y0), mul(w1, y1)))
  }
  v128.store(trial, sl)
  v128.store(trial, sll, 16)
  v128.store(trial, sly, 32)
}

/** Sum of w (y - scale * l - offset)^2 for the codes in `trial`. */
// @ts-ignore: decorator
@inline
function trialError(record: usize, scale: v128, offset: v128): v128 {
  const sl = v128.load(trial)
  const sll = v128.load(trial, 16)
  const sly = v128.load(trial, 32)
  const two = splat(2)
  const fromScale = mul(scale, sub(mul(scale, sll), mul(two, sly)))
  const fromOffset = mul(offset, sub(mul(offset, v128.load(record, W)), mul(two, v128.load(record, WY))))
  return add(v128.load(record, WYY), add(add(fromScale, fromOffset), mul(mul(two, mul(scale, offset)), sl)))
}

/** Lets the codes in `trial` replace the record's where they leave less error with this scale and offset. */
// @ts-ignore: decorator
@inline
function keepBetter(record: usize, error: v128, better: v128, scale: v128, offset: v128): void {
  keep(record + ERROR, better, error)
  keep(record + SCALE, better, scale)
  keep(record + OFFSET, better, offset)
  keep(record + WL, better, v128.load(trial))
  keep(record + WLL, better, v128.load(trial, 16))
  keep(record + WLY, better, v128.load(trial, 32))
}

/** Tries the codes of one scale and shift, with their own best scale and offset (at most `limit`). */
// @ts-ignore: decorator
@inline
function tryCodes(
  y: usize, w: usize, n: usize, record: usize, inverse: v128, shift: v128, top: f32, limit: v128,
): void {
  measure(y, w, n, inverse, shift, top)
  const sl = v128.load(trial)
  const sll = v128.load(trial, 16)
  const sly = v128.load(trial, 32)
  const sw = v128.load(record, W)
  const sy = v128.load(record, WY)
  const product = mul(sw, sll)
  const determinant = sub(product, mul(sl, sl))
  // Where one column outweighs all others the determinant is nothing but rounding: then the offset stays at the least value.
  const sound = f32x4.gt(determinant, mul(product, splat(1e-5)))
  const free = divide(sub(mul(sll, sy), mul(sl, sly)), determinant)
  const bound = v128.or(v128.not(sound), f32x4.gt(free, limit))
  const offset = pick(sound, least(free, limit), splat(0))
  const scale = pick(
    bound,
    divide(sub(sly, mul(offset, sl)), sll),
    divide(sub(mul(sw, sly), mul(sy, sl)), determinant),
  )
  const error = trialError(record, scale, offset)
  const better = v128.and(f32x4.lt(error, v128.load(record, ERROR)), f32x4.gt(scale, splat(0)))
  keepBetter(record, error, better, scale, offset)
}

/** Tries a scale and offset as they are. The record's scale and offset become `scaleName` and `offsetName`: what they are stored as. */
// @ts-ignore: decorator
@inline
export function tryStored(
  y: usize, w: usize, n: usize, record: usize, scale: v128, offset: v128, top: f32, scaleName: v128, offsetName: v128,
): void {
  const inverse = invert(scale)
  measure(y, w, n, inverse, negate(mul(offset, inverse)), top)
  const error = trialError(record, scale, offset)
  keepBetter(record, error, f32x4.lt(error, v128.load(record, ERROR)), scaleName, offsetName)
}

/**
 * Fills the record of n vectors of values, and shifts them. Coarse to fine: side * side candidates, which cut off first + k * spacing steps
 * at the lower and at the upper end of the range, then one from the best scale and offset found.
 * @param ceiling bounds the least value and the offset in units of x: 0 where a minimum cannot be positive.
 */
// @ts-ignore: decorator
@inline
export function searchAffine(
  y: usize, w: usize, n: usize, record: usize, top: f32, ceiling: f32, side: i32, first: f32, spacing: f32,
): void {
  begin(y, w, n, record, ceiling)
  const limit = sub(splat(ceiling), v128.load(record, LOW))
  const perRange = invert(v128.load(record, RANGE))
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < side; j++) {
      const below = first + spacing * <f32>i
      const steps = top + below + first + spacing * <f32>j
      tryCodes(y, w, n, record, mul(splat(steps), perRange), splat(-below), top, limit)
    }
  }
  const inverse = invert(v128.load(record, SCALE))
  tryCodes(y, w, n, record, inverse, negate(mul(v128.load(record, OFFSET), inverse)), top, limit)
}

/** Writes the codes for four scales and offsets. */
// @ts-ignore: decorator
@inline
export function writeAffineCodes(y: usize, n: usize, scale: v128, offset: v128, top: f32, to: usize): void {
  const inverse = invert(scale)
  const shift = negate(mul(offset, inverse))
  for (let i: usize = 0; i < n; i += 4) {
    const at = y + 16 * i
    storeCodes(
      code(v128.load(at), inverse, shift, top),
      code(v128.load(at, 16), inverse, shift, top),
      code(v128.load(at, 32), inverse, shift, top),
      code(v128.load(at, 48), inverse, shift, top),
      to + i,
      n,
    )
  }
}

// @ts-ignore: decorator
@inline
function code(y: v128, inverse: v128, shift: v128, top: f32): v128 {
  return clamp(add(add(mul(y, inverse), shift), splat(rounder)), splat(rounder), splat(rounder + top))
}
