// How blocks and their weights come into `values` and `weights`: normalized, so that no sum of squares leaves the range of f32, however
// large or small the values are; by powers of two, so that nothing is rounded.
//
// The weight of a value is importance * sqrt(sigma2 + x^2), as in ggml: errors on large values count for more, since activations and
// weights of one column are not independent. Without importance it is sqrt(sigma2 + x^2) with a larger sigma2: nearly alike.

import { byEffort } from './effort'
import { add, interleave, mul, pick, splat, total, values, weights } from './lanes'

/**
 * sigma2 / mean x^2 without importance. Measured: against equal weights the squared error grows by 0.4 %, and what is left of the error
 * by ggml's weights falls by 2 to 5 %.
 */
const plainSigmaFactor: f32 = 6

/** Below every weight that counts, so that columns of no importance are still quantized sensibly and no sum is 0. */
const weightFloor: f32 = 2.3283064e-10 // 2^-32

/** Largest magnitude of `count` f32, a multiple of 4. */
export function largest(from: usize, count: usize): f32 {
  let m = splat(0)
  for (let at: usize = 0; at < count * 4; at += 16) m = f32x4.pmax(m, f32x4.abs(v128.load(from + at)))
  return max(
    max(f32x4.extract_lane(m, 0), f32x4.extract_lane(m, 1)),
    max(f32x4.extract_lane(m, 2), f32x4.extract_lane(m, 3)),
  )
}

/** The power of two that brings `value` into [1, 2), or as near as f32 has one; 0 where `value` is below any f16 scale's reach. */
// @ts-ignore: decorator
@inline
export function normalizer(value: f32): f32 {
  const exponent = reinterpret<u32>(value) >> 23
  return exponent < 67 ? 0 : reinterpret<f32>(max<u32>(254 - exponent, 1) << 23)
}

/** Sum over the lanes' own values of x^2: `count` vectors. */
// @ts-ignore: decorator
@inline
function squares(count: usize): v128 {
  let sum = splat(0)
  for (let at: usize = 0; at < 16 * count; at += 16) {
    const x = v128.load(values + at)
    sum = add(sum, mul(x, x))
  }
  return sum
}

/** Sum of w x^2 over a super-block. */
export function weighedSquares(): f32 {
  let sum = splat(0)
  for (let at: usize = 0; at < 1024; at += 16) {
    const x = v128.load(values + at)
    sum = add(sum, mul(mul(x, x), v128.load(weights + at)))
  }
  return total(sum)
}

/** Multiplies the weights of `count` vectors by sqrt(sigma2 + x^2). */
// @ts-ignore: decorator
@inline
function weigh(count: usize, sigma2: v128): void {
  for (let at: usize = 0; at < 16 * count; at += 16) {
    const x = v128.load(values + at)
    v128.store(weights + at, mul(v128.load(weights + at), f32x4.sqrt(add(sigma2, mul(x, x)))))
  }
}

// @ts-ignore: decorator
@inline
function weighAlike(count: usize): void {
  for (let at: usize = 0; at < 16 * count; at += 16) v128.store(weights + at, splat(1))
}

/**
 * Loads a super-block of 256 values, as 256 / n runs of n (16 or 32) in groups of four, and their weights.
 * @param sigmaFactor sigma2 = sigmaFactor * mean x^2; 0 for w = importance, or 1 without.
 * @returns the factor of the normalization; 0 where the block is as good as zero, and then nothing is loaded.
 */
// @ts-ignore: decorator
@inline
export function loadSuperBlock(source: usize, importance: usize, n: usize, sigmaFactor: f32): f32 {
  const factor = normalizer(largest(source, 256))
  if (factor == 0) return 0
  for (let at: usize = 0; at < 1024; at += 16 * n) {
    const from = source + at
    interleave(from, from + 4 * n, from + 8 * n, from + 12 * n, n, splat(factor), splat(0), values + at)
  }
  const scale: f32 = importance == 0 ? 0 : normalizer(largest(importance, 256))
  if (scale == 0) {
    weighAlike(64)
  } else {
    for (let at: usize = 0; at < 1024; at += 16 * n) {
      const from = importance + at
      interleave(from, from + 4 * n, from + 8 * n, from + 12 * n, n, splat(scale), splat(weightFloor), weights + at)
    }
  }
  if (sigmaFactor != 0) {
    const sigma2 = (total(squares(64)) * (scale == 0 ? plainSigmaFactor : sigmaFactor)) / 256
    weigh(64, splat(sigma2))
  }
  return factor
}

/** Normalizations of four blocks and of their importance, and their sigma2: one in each lane. */
const factors: usize = memory.data(16, 16)
const importanceFactors: usize = memory.data(16, 16)
const sigmas: usize = memory.data(16, 16)

/**
 * Loads four blocks of 32 values, one in each lane and each with its own normalization, and their weights. Blocks are counted through all
 * rows; after the last one it stands in for those that are missing.
 * @param sigmaFactor sigma2 = sigmaFactor * mean x^2 of the block; 0 for the mean of the row.
 * @returns the factors; 0 for a block that is as good as zero.
 */
// @ts-ignore: decorator
@inline
export function loadBlocks(
  source: usize, importance: usize, first: i32, blocks: i32, blocksPerRow: i32, sigmaFactor: f32,
): v128 {
  const last = blocks - 1
  const b1 = min(first + 1, last)
  const b2 = min(first + 2, last)
  const b3 = min(first + 3, last)
  for (let k = 0; k < 4; k++) {
    const block = min(first + k, last)
    const factor = normalizer(largest(source + 128 * block, 32))
    store<f32>(factors + 4 * k, factor)
    if (importance == 0) continue
    store<f32>(importanceFactors + 4 * k, normalizer(largest(importance + 128 * (block % blocksPerRow), 32)))
    if (sigmaFactor == 0) store<f32>(sigmas + 4 * k, rowSigma2(source, block / blocksPerRow, blocksPerRow, factor))
  }
  const factor = v128.load(factors)
  interleave(source + 128 * first, source + 128 * b1, source + 128 * b2, source + 128 * b3, 32, factor, splat(0), values)
  if (importance == 0) {
    weighAlike(32)
    if (byEffort(false, true, true)) weigh(32, mul(squares(32), splat(plainSigmaFactor / 32)))
    return factor
  }
  const c0 = importance + 128 * (first % blocksPerRow)
  const c1 = importance + 128 * (b1 % blocksPerRow)
  const c2 = importance + 128 * (b2 % blocksPerRow)
  const c3 = importance + 128 * (b3 % blocksPerRow)
  const scale = v128.load(importanceFactors)
  // Where a block has no importance at all its columns count the same.
  const floor = pick(f32x4.eq(scale, splat(0)), splat(1), splat(weightFloor))
  interleave(c0, c1, c2, c3, 32, scale, floor, weights)
  weigh(32, sigmaFactor == 0 ? v128.load(sigmas) : mul(squares(32), splat(sigmaFactor / 32)))
  return factor
}

let sigmaRow: i32 = -1
let sigma2: f32 = 0
let sigmaNormalizer: f32 = 0

/** Forgets the row whose mean square was taken last: a new call may bring other values to the same place. */
export function beginRows(): void {
  sigmaRow = -1
}

/** Mean square of a row, in the units of a block that is normalized by `factor`. */
function rowSigma2(source: usize, row: i32, blocksPerRow: i32, factor: f32): f32 {
  if (row != sigmaRow) {
    sigmaRow = row
    const from = source + 128 * row * blocksPerRow
    sigmaNormalizer = normalizer(largest(from, 32 * blocksPerRow))
    let sum = splat(0)
    for (let at: usize = 0; at < 128 * <usize>blocksPerRow; at += 16) {
      const x = mul(v128.load(from + at), splat(sigmaNormalizer))
      sum = add(sum, mul(x, x))
    }
    sigma2 = total(sum) / (32 * <f32>blocksPerRow)
  }
  if (factor == 0) return 0
  // Bounded, so that a block far below its row has finite weights; there they are all alike anyway.
  const ratio: f32 = min(factor / sigmaNormalizer, 1099511627776)
  return sigma2 * ratio * ratio
}
