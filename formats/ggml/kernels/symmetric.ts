// Search for the scale of values near scale * code, codes lowest .. highest: four sub-blocks in the lanes.
//
// A candidate costs two sums over the values: with w the weight and l the code, sum w l^2 and sum w l x. The best scale for these codes is
// their quotient, and what it explains of sum w x^2 is the gain (sum w l x)^2 / sum w l^2.
//
// Memory map: each group of four sub-blocks has a record of 16-byte vectors, at the offsets below; `trial` holds the sums of the codes
// measured last.

import {
  add, clamp, divide, invert, keep, least, most, mul, negate, pick, rounder, splat, storeCodes, sub,
} from './lanes'

/** The best found: its gain, its scale, and its sums of w l^2 and w l x. */
export const GAIN: usize = 0
export const SCALE: usize = 16
export const WLL: usize = 32
export const WLX: usize = 48
/** Bytes of a record. */
export const recordBytes: usize = 64

const trial: usize = memory.data(32, 16)

/** 1 / the value of largest magnitude of n vectors, with its sign. */
// @ts-ignore: decorator
@inline
export function perExtreme(x: usize, n: usize): v128 {
  let low = splat(0)
  let high = splat(0)
  for (let at: usize = 0; at < 16 * n; at += 16) {
    low = least(low, v128.load(x + at))
    high = most(high, v128.load(x + at))
  }
  return invert(pick(f32x4.gt(negate(low), high), low, high))
}

/** Leaves in `trial` the sums of the codes round(x * inverse), clamped. */
// @ts-ignore: decorator
@inline
function measure(x: usize, w: usize, n: usize, inverse: v128, lowest: f32, highest: f32): void {
  let sll = splat(0)
  let slx = splat(0)
  const zero = splat(rounder)
  const low = splat(rounder + lowest)
  const high = splat(rounder + highest)
  for (let at: usize = 0; at < 16 * n; at += 32) {
    const x0 = v128.load(x + at)
    const x1 = v128.load(x + at, 16)
    const l0 = sub(clamp(add(mul(x0, inverse), zero), low, high), zero)
    const l1 = sub(clamp(add(mul(x1, inverse), zero), low, high), zero)
    const w0 = mul(v128.load(w + at), l0)
    const w1 = mul(v128.load(w + at, 16), l1)
    slx = add(slx, add(mul(w0, x0), mul(w1, x1)))
    sll = add(sll, add(mul(w0, l0), mul(w1, l1)))
  }
  v128.store(trial, sll)
  v128.store(trial, slx, 16)
}

/** Begins a record with nothing explained. */
// @ts-ignore: decorator
@inline
export function beginSymmetric(record: usize): void {
  for (let field: usize = 0; field < recordBytes; field += 16) v128.store(record + field, splat(0))
}

/** Lets codes with these sums replace the record's where their own best scale gains more. */
// @ts-ignore: decorator
@inline
export function keepFree(record: usize, sll: v128, slx: v128): void {
  const scale = divide(slx, sll)
  const gain = mul(scale, slx)
  const better = f32x4.gt(gain, v128.load(record, GAIN))
  keep(record + GAIN, better, gain)
  keep(record + SCALE, better, scale)
  keep(record + WLL, better, sll)
  keep(record + WLX, better, slx)
}

/** Lets codes with these sums replace the record's where they gain more with this scale, which is stored as `name`. */
// @ts-ignore: decorator
@inline
export function keepStored(record: usize, sll: v128, slx: v128, scale: v128, name: v128): void {
  const gain = mul(scale, sub(mul(splat(2), slx), mul(scale, sll)))
  const better = f32x4.gt(gain, v128.load(record, GAIN))
  keep(record + GAIN, better, gain)
  keep(record + SCALE, better, name)
  keep(record + WLL, better, sll)
  keep(record + WLX, better, slx)
}

// @ts-ignore: decorator
@inline
function tryCodes(x: usize, w: usize, n: usize, record: usize, inverse: v128, lowest: f32, highest: f32): void {
  measure(x, w, n, inverse, lowest, highest)
  keepFree(record, v128.load(trial), v128.load(trial, 16))
}

/** Tries a scale as it is. */
// @ts-ignore: decorator
@inline
export function tryStored(
  x: usize, w: usize, n: usize, record: usize, scale: v128, name: v128, lowest: f32, highest: f32,
): void {
  measure(x, w, n, invert(scale), lowest, highest)
  keepStored(record, v128.load(trial), v128.load(trial, 16), scale, name)
}

/**
 * Fills the record of n vectors of values. Coarse to fine: candidates that bring the extreme to lowest + first - k * spacing (so that from
 * some k on it is cut off), each with both signs, then `refits` from the best scale found.
 */
// @ts-ignore: decorator
@inline
export function searchSymmetric(
  x: usize, w: usize, n: usize, record: usize, lowest: f32, highest: f32,
  candidates: i32, first: f32, spacing: f32, refits: i32,
): void {
  beginSymmetric(record)
  const unit = perExtreme(x, n)
  for (let k = 0; k < candidates; k++) {
    const inverse = mul(splat(lowest + first - spacing * <f32>k), unit)
    tryCodes(x, w, n, record, inverse, lowest, highest)
    tryCodes(x, w, n, record, negate(inverse), lowest, highest)
  }
  for (let k = 0; k < refits; k++) tryCodes(x, w, n, record, invert(v128.load(record, SCALE)), lowest, highest)
}

/** Writes the codes, less `lowest`, for four scales. */
// @ts-ignore: decorator
@inline
export function writeSymmetricCodes(x: usize, n: usize, scale: v128, lowest: f32, highest: f32, to: usize): void {
  const inverse = invert(scale)
  for (let i: usize = 0; i < n; i += 4) {
    const at = x + 16 * i
    storeCodes(
      code(v128.load(at), inverse, lowest, highest),
      code(v128.load(at, 16), inverse, lowest, highest),
      code(v128.load(at, 32), inverse, lowest, highest),
      code(v128.load(at, 48), inverse, lowest, highest),
      to + i,
      n,
    )
  }
}

// @ts-ignore: decorator
@inline
function code(x: v128, inverse: v128, lowest: f32, highest: f32): v128 {
  const clamped = clamp(add(mul(x, inverse), splat(rounder)), splat(rounder + lowest), splat(rounder + highest))
  return sub(clamped, splat(lowest))
}
