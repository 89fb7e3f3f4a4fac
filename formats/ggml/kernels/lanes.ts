// What the encoders share: arithmetic on four independent problems (sub-blocks or blocks) in the four lanes of a v128. No sum that decides
// a code crosses lanes in an order of the machine's choosing, so every machine makes the same bytes.
//
// Memory map: `values` and `weights` hold up to 256 f32, transposed: vector i of a group of four runs holds value i of each run;
// groups follow one another. `codes` holds one byte a value, in the order of the values in the source.

/** Adding it rounds an f32 below 2^22 to the nearest integer, ties to even; the low mantissa bits are then the integer. */
export const rounder: f32 = 12582912

/** Values of a block in normalized units (below 4 in magnitude), transposed. */
export const values: usize = memory.data(1024, 16)
/** Weights of those values, above 0, transposed. */
export const weights: usize = memory.data(1024, 16)
/** Codes of a block, one byte each, in source order. */
export const codes: usize = memory.data(256, 16)

// @ts-ignore: decorator
@inline
export function splat(value: f32): v128 {
  return f32x4.splat(value)
}

// @ts-ignore: decorator
@inline
export function add(a: v128, b: v128): v128 {
  return f32x4.add(a, b)
}

// @ts-ignore: decorator
@inline
export function sub(a: v128, b: v128): v128 {
  return f32x4.sub(a, b)
}

// @ts-ignore: decorator
@inline
export function mul(a: v128, b: v128): v128 {
  return f32x4.mul(a, b)
}

// @ts-ignore: decorator
@inline
export function negate(x: v128): v128 {
  return f32x4.neg(x)
}

/** The smaller of each lane. */
// @ts-ignore: decorator
@inline
export function least(a: v128, b: v128): v128 {
  return f32x4.pmin(b, a)
}

/** The larger of each lane. */
// @ts-ignore: decorator
@inline
export function most(a: v128, b: v128): v128 {
  return f32x4.pmax(b, a)
}

// @ts-ignore: decorator
@inline
export function clamp(x: v128, low: v128, high: v128): v128 {
  return least(most(x, low), high)
}

// @ts-ignore: decorator
@inline
export function pick(mask: v128, yes: v128, no: v128): v128 {
  return v128.bitselect(yes, no, mask)
}

/** The nearest integers of values below 2^22. */
// @ts-ignore: decorator
@inline
export function nearest(x: v128): v128 {
  return sub(add(x, splat(rounder)), splat(rounder))
}

/** a / b, and 0 where that is not finite. */
// @ts-ignore: decorator
@inline
export function divide(a: v128, b: v128): v128 {
  const quotient = f32x4.div(a, b)
  return v128.and(quotient, f32x4.le(f32x4.abs(quotient), splat(f32.MAX_VALUE)))
}

/** 1 / x, and 0 where that is not finite. */
// @ts-ignore: decorator
@inline
export function invert(x: v128): v128 {
  return divide(splat(1), x)
}

/** Sum of the lanes, in one fixed order. */
// @ts-ignore: decorator
@inline
export function total(x: v128): f32 {
  return f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3))
}

/** Overwrites the lanes of a vector in memory that a mask selects. */
// @ts-ignore: decorator
@inline
export function keep(at: usize, mask: v128, value: v128): void {
  v128.store(at, pick(mask, value, v128.load(at)))
}

/** Writes 4 * n values, n from each of four runs: transposed, times `factor`, plus `floor`. n is a multiple of 4. */
// @ts-ignore: decorator
@inline
export function interleave(
  a: usize, b: usize, c: usize, d: usize, n: usize, factor: v128, floor: v128, to: usize,
): void {
  for (let i: usize = 0; i < n * 4; i += 16) {
    const ra = v128.load(a + i)
    const rb = v128.load(b + i)
    const rc = v128.load(c + i)
    const rd = v128.load(d + i)
    const ab01 = v128.shuffle<f32>(ra, rb, 0, 4, 1, 5)
    const ab23 = v128.shuffle<f32>(ra, rb, 2, 6, 3, 7)
    const cd01 = v128.shuffle<f32>(rc, rd, 0, 4, 1, 5)
    const cd23 = v128.shuffle<f32>(rc, rd, 2, 6, 3, 7)
    v128.store(to + 4 * i, add(mul(v128.shuffle<f32>(ab01, cd01, 0, 1, 4, 5), factor), floor))
    v128.store(to + 4 * i, add(mul(v128.shuffle<f32>(ab01, cd01, 2, 3, 6, 7), factor), floor), 16)
    v128.store(to + 4 * i, add(mul(v128.shuffle<f32>(ab23, cd23, 0, 1, 4, 5), factor), floor), 32)
    v128.store(to + 4 * i, add(mul(v128.shuffle<f32>(ab23, cd23, 2, 3, 6, 7), factor), floor), 48)
  }
}

/** Stores 16 codes, bytes 4 k .. 4 k + 3 being those of value i + k in four runs of n, at their places from `to` = run 0, value i. */
// @ts-ignore: decorator
@inline
export function storeRuns(bytes: v128, to: usize, n: usize): void {
  const runs = i8x16.shuffle(bytes, bytes, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
  v128.store32_lane(to, runs, 0)
  v128.store32_lane(to + n, runs, 1)
  v128.store32_lane(to + 2 * n, runs, 2)
  v128.store32_lane(to + 3 * n, runs, 3)
}

/** `storeRuns` of four vectors whose lanes have the code in the low byte. */
// @ts-ignore: decorator
@inline
export function storeCodes(c0: v128, c1: v128, c2: v128, c3: v128, to: usize, n: usize): void {
  const mask = i32x4.splat(255)
  const low = i16x8.narrow_i32x4_s(v128.and(c0, mask), v128.and(c1, mask))
  const high = i16x8.narrow_i32x4_s(v128.and(c2, mask), v128.and(c3, mask))
  storeRuns(i8x16.narrow_i16x8_u(low, high), to, n)
}
