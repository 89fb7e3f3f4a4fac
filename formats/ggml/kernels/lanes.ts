// What the encoders share: four independent problems (sub-blocks) in the four lanes of a v128, so that no sum ever crosses lanes and
// every machine makes the same bytes.
//
// Memory map: `values` and `weights` hold up to 256 f32, transposed: vector i of a group of four runs holds value i of each run;
// groups follow one another. `codes` holds one byte a value, in the order of the values in the source.

import { floatToHalf, floatsToHalves, halvesToFloats } from './half'

/** Adding it rounds an f32 below 2^22 to the nearest integer, ties to even; the low mantissa bits are then the integer. */
export const rounder: f32 = 12582912

/** Values of a block in normalized units (at most 4 in magnitude), transposed. */
export const values: usize = memory.data(1024, 16)
/** Weights of those values, at most about 4, never all zero. */
export const weights: usize = memory.data(1024, 16)
/** Codes of a block, one byte each, in source order. */
export const codes: usize = memory.data(256, 16)

@inline export function splat(value: f32): v128 { return f32x4.splat(value) }
@inline export function add(a: v128, b: v128): v128 { return f32x4.add(a, b) }
@inline export function sub(a: v128, b: v128): v128 { return f32x4.sub(a, b) }
@inline export function mul(a: v128, b: v128): v128 { return f32x4.mul(a, b) }
/** The smaller of each lane; where either is NaN, `b`. */
@inline export function least(a: v128, b: v128): v128 { return f32x4.pmin(b, a) }
/** The larger of each lane; where either is NaN, `b`. */
@inline export function most(a: v128, b: v128): v128 { return f32x4.pmax(b, a) }
@inline export function pick(mask: v128, yes: v128, no: v128): v128 { return v128.bitselect(yes, no, mask) }
/** The nearest integers of values below 2^22. */
@inline export function nearest(x: v128): v128 { return sub(add(x, splat(rounder)), splat(rounder)) }
/** a / b, and 0 where b is 0 (or so small that the quotient is not finite). */
@inline export function divide(a: v128, b: v128): v128 {
  const quotient = f32x4.div(a, b)
  return v128.and(quotient, f32x4.lt(f32x4.abs(quotient), splat(f32.MAX_VALUE)))
}

/** Sum of the lanes, in one fixed order. */
@inline export function total(x: v128): f32 {
  return f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3))
}

/** Largest magnitude of `count` f32, a multiple of 4. */
export function largest(from: usize, count: usize): f32 {
  let m = splat(0)
  for (let i: usize = 0; i < count * 4; i += 16) m = most(m, f32x4.abs(v128.load(from + i)))
  return max(max(f32x4.extract_lane(m, 0), f32x4.extract_lane(m, 1)), max(f32x4.extract_lane(m, 2), f32x4.extract_lane(m, 3)))
}

/** The power of two that brings `value` into [1, 2), or as near as f32 has one; 0 for what no f16 scale could reach. */
@inline export function normalizer(value: f32): f32 {
  const exponent = reinterpret<u32>(value) >> 23
  return exponent < 67 ? 0 : reinterpret<f32>(max<u32>(254 - exponent, 1) << 23)
}

/** 1 / x of a power of two that `normalizer` returned. */
@inline export function inverseOfPower(x: f32): f32 { return reinterpret<f32>((254 << 23) - reinterpret<u32>(x)) }

/** Writes 4 * n values: n from each of four runs, transposed and times `factor`. */
@inline export function interleave(a: usize, b: usize, c: usize, d: usize, n: usize, factor: v128, floor: v128, to: usize): void {
  for (let i: usize = 0; i < n * 4; i += 16) {
    const ra = v128.load(a + i), rb = v128.load(b + i), rc = v128.load(c + i), rd = v128.load(d + i)
    const ab01 = v128.shuffle<f32>(ra, rb, 0, 4, 1, 5), ab23 = v128.shuffle<f32>(ra, rb, 2, 6, 3, 7)
    const cd01 = v128.shuffle<f32>(rc, rd, 0, 4, 1, 5), cd23 = v128.shuffle<f32>(rc, rd, 2, 6, 3, 7)
    v128.store(to + 4 * i, add(mul(v128.shuffle<f32>(ab01, cd01, 0, 1, 4, 5), factor), floor))
    v128.store(to + 4 * i, add(mul(v128.shuffle<f32>(ab01, cd01, 2, 3, 6, 7), factor), floor), 16)
    v128.store(to + 4 * i, add(mul(v128.shuffle<f32>(ab23, cd23, 0, 1, 4, 5), factor), floor), 32)
    v128.store(to + 4 * i, add(mul(v128.shuffle<f32>(ab23, cd23, 2, 3, 6, 7), factor), floor), 48)
  }
}

/** Below every weight, so that columns of no importance are still quantized sensibly and no sum is 0. */
const weightFloor: f32 = 2.3283064e-10 // 2^-32

/**
 * Loads a super-block of 256 values, as runs of n (16 or 32), and their weights.
 * @param sigmaFactor w = importance * sqrt(sigmaFactor * mean x^2 + x^2); 0 for w = importance.
 * @returns the factor of the normalization; 0 where the block is (as good as) zero.
 */
@inline export function loadSuperBlock(source: usize, importance: usize, n: usize, sigmaFactor: f32): f32 {
  const factor = normalizer(largest(source, 256))
  if (factor == 0) return 0
  for (let at: usize = 0; at < 1024; at += 16 * n) {
    interleave(source + at, source + at + 4 * n, source + at + 8 * n, source + at + 12 * n, n, splat(factor), splat(0), values + at)
  }
  const scale: f32 = importance == 0 ? 0 : normalizer(largest(importance, 256))
  if (scale == 0) {
    for (let at: usize = 0; at < 1024; at += 16) v128.store(weights + at, splat(1))
    return factor
  }
  for (let at: usize = 0; at < 1024; at += 16 * n) {
    const from = importance + at
    interleave(from, from + 4 * n, from + 8 * n, from + 12 * n, n, splat(scale), splat(weightFloor), weights + at)
  }
  if (sigmaFactor != 0) {
    let squares = splat(0)
    for (let at: usize = 0; at < 1024; at += 16) {
      const x = v128.load(values + at)
      squares = add(squares, mul(x, x))
    }
    weigh(256, splat((total(squares) * sigmaFactor) / 256))
  }
  return factor
}

/** Multiplies the weights of `count` values by sqrt(sigma2 + x^2). */
@inline export function weigh(count: usize, sigma2: v128): void {
  for (let at: usize = 0; at < 4 * count; at += 16) {
    const x = v128.load(values + at)
    v128.store(weights + at, mul(v128.load(weights + at), f32x4.sqrt(add(sigma2, mul(x, x)))))
  }
}

/** Stores the low bytes of four vectors of codes (value i .. i + 3 of four runs of n) at their places in `codes`. */
@inline export function storeCodes(c0: v128, c1: v128, c2: v128, c3: v128, to: usize, n: usize): void {
  const mask = i32x4.splat(255)
  const low = i16x8.narrow_i32x4_s(v128.and(c0, mask), v128.and(c1, mask))
  const high = i16x8.narrow_i32x4_s(v128.and(c2, mask), v128.and(c3, mask))
  const bytes = i8x16.narrow_i16x8_u(low, high)
  const runs = i8x16.shuffle(bytes, bytes, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
  v128.store32_lane(to, runs, 0)
  v128.store32_lane(to + n, runs, 1)
  v128.store32_lane(to + 2 * n, runs, 2)
  v128.store32_lane(to + 3 * n, runs, 3)
}

/**
 * The common factor d of up to 16 scales that are to be stored as d * integer: the least sum of curvature * (scale - d * integer)^2 among
 * candidates, four at a time in the lanes.
 * @param extreme the scale of largest magnitude; candidate k brings it to first + k * step.
 * @param passes candidates / 4.
 */
export function fitFactor(
  scales: usize, curvatures: usize, count: usize, extreme: f32, lowest: f32, highest: f32, first: f32, step: f32, passes: i32,
): f32 {
  if (extreme == 0) return 0
  let top = add(splat(first), mul(splat(step), f32x4(0, 1, 2, 3)))
  let bestGain = splat(0), best = splat(0)
  for (let pass = 0; pass < passes; pass++) {
    const inverse = f32x4.div(top, splat(extreme))
    let sl = splat(0), ll = splat(0)
    for (let i: usize = 0; i < count; i++) {
      const scale = v128.load32_splat(scales + 4 * i), weight = v128.load32_splat(curvatures + 4 * i)
      const l = least(most(nearest(mul(scale, inverse)), splat(lowest)), splat(highest))
      const wl = mul(weight, l)
      sl = add(sl, mul(wl, scale))
      ll = add(ll, mul(wl, l))
    }
    const factor = divide(sl, ll)
    const gain = mul(factor, sl)
    const better = f32x4.gt(gain, bestGain)
    bestGain = pick(better, gain, bestGain)
    best = pick(better, factor, best)
    top = add(top, splat(4 * step))
  }
  let gain: f32 = f32x4.extract_lane(bestGain, 0), factor: f32 = f32x4.extract_lane(best, 0)
  if (f32x4.extract_lane(bestGain, 1) > gain) { gain = f32x4.extract_lane(bestGain, 1); factor = f32x4.extract_lane(best, 1) }
  if (f32x4.extract_lane(bestGain, 2) > gain) { gain = f32x4.extract_lane(bestGain, 2); factor = f32x4.extract_lane(best, 2) }
  if (f32x4.extract_lane(bestGain, 3) > gain) { factor = f32x4.extract_lane(best, 3) }
  return factor
}

/** Bits of the nearest f16; what is above its range becomes its largest value, never infinity. */
@inline export function toHalf(value: f32): u32 { return floatToHalf(min(max(value, -65504), 65504)) }

/** Factors of the normalization of four blocks, one in each lane. */
const factors: usize = memory.data(16, 16)
const importanceFactors: usize = memory.data(16, 16)
const sigmas: usize = memory.data(16, 16)

/**
 * Loads four blocks of 32 values, one in each lane and each with its own normalization, and their weights. Blocks are counted through all
 * rows; after the last one it stands in for those that are missing.
 * @param sigmaFactor w = importance * sqrt(sigma2 + x^2), sigma2 = sigmaFactor * mean x^2 of the block; 0 for the mean of the row.
 * @returns the factors.
 */
@inline export function loadBlocks(source: usize, importance: usize, first: i32, blocks: i32, blocksPerRow: i32, sigmaFactor: f32): v128 {
  for (let k = 0; k < 4; k++) {
    const block = min(first + k, blocks - 1), x = source + 128 * <usize>block
    const factor = normalizer(largest(x, 32))
    store<f32>(factors + 4 * k, factor)
    if (importance != 0) {
      store<f32>(importanceFactors + 4 * k, normalizer(largest(importance + 128 * (block % blocksPerRow), 32)))
      if (sigmaFactor == 0) store<f32>(sigmas + 4 * k, factor == 0 ? 0 : rowSigma(source, block / blocksPerRow, blocksPerRow, factor))
    }
  }
  const last = blocks - 1
  const i0 = first, i1 = min(first + 1, last), i2 = min(first + 2, last), i3 = min(first + 3, last)
  const factor = v128.load(factors)
  interleave(source + 128 * i0, source + 128 * i1, source + 128 * i2, source + 128 * i3, 32, factor, splat(0), values)
  if (importance == 0) {
    for (let at: usize = 0; at < 512; at += 16) v128.store(weights + at, splat(1))
    return factor
  }
  const c0 = importance + 128 * (i0 % blocksPerRow), c1 = importance + 128 * (i1 % blocksPerRow)
  const c2 = importance + 128 * (i2 % blocksPerRow), c3 = importance + 128 * (i3 % blocksPerRow)
  const scale = v128.load(importanceFactors)
  // Where a block has no importance at all its columns count the same.
  const floor = pick(f32x4.eq(scale, splat(0)), splat(1), splat(weightFloor))
  interleave(c0, c1, c2, c3, 32, scale, floor, weights)
  let sigma2 = v128.load(sigmas)
  if (sigmaFactor != 0) {
    sigma2 = splat(0)
    for (let at: usize = 0; at < 512; at += 16) {
      const x = v128.load(values + at)
      sigma2 = add(sigma2, mul(x, x))
    }
    sigma2 = mul(sigma2, splat(sigmaFactor / 32))
  }
  weigh(128, sigma2)
  return factor
}

let sigmaRow: i32 = -1
let sigma: f32 = 0
let sigmaNormalizer: f32 = 0

/** Forgets the row whose mean square was taken last; a new call may bring other values to the same place. */
export function beginRows(): void { sigmaRow = -1 }

/** Mean square of a row, in the units of a block that is normalized by `factor`. */
function rowSigma(source: usize, row: i32, blocksPerRow: i32, factor: f32): f32 {
  if (row != sigmaRow) {
    sigmaRow = row
    const from = source + 128 * row * blocksPerRow
    sigmaNormalizer = normalizer(largest(from, 32 * blocksPerRow))
    let squares = splat(0)
    for (let at: usize = 0; at < <usize>(128 * blocksPerRow); at += 16) {
      const x = mul(v128.load(from + at), splat(sigmaNormalizer))
      squares = add(squares, mul(x, x))
    }
    sigma = total(squares) / (32 * <f32>blocksPerRow)
  }
  // Bounded, so that a block far below its row has finite weights; there they are all alike anyway.
  const ratio: f32 = min(factor / sigmaNormalizer, 1099511627776)
  return sigma * ratio * ratio
}

/** Stores the f16 bits of four normalized numbers, and returns what those are worth in normalized units. */
@inline export function roundToHalf(x: v128, factor: v128, bits: usize): v128 {
  // An inverse of a power of two; that of 0, for a block of zeros, is finite.
  const unit = i32x4.sub(i32x4.splat(254 << 23), factor)
  const halves = floatsToHalves(least(most(mul(x, unit), splat(-65504)), splat(65504)))
  v128.store(bits, halves)
  return mul(halvesToFloats(halves), factor)
}
