// Super-blocks of 256 values, value = d * scale * code, integer scales of either sign: Q3_K, Q6_K. IQ4_XS shares how d is found.
//
// 1. For each sub-block, the scale as if it could be any number. 2. From those, d. 3. For each sub-block again, the integer: neighbours of
// the wanted scale, judged by the error with exactly what will be stored. 4. d by least squares for the codes and integers found.
// 5. The codes for exactly what is stored.

import { byEffort, isRough } from './effort'
import { fitFactor, inverseOfPower, nextFactor, toHalf, toHalfAway } from './factor'
import { halfToFloat } from './half'
import { add, clamp, codes, divide, invert, mul, nearest, splat, total, values, weights } from './lanes'
import { loadSuperBlock } from './load'
import { GAIN, SCALE, WLL, WLX, recordBytes, searchSymmetric, tryStored, writeSymmetricCodes } from './symmetric'

/** Records of the groups of four sub-blocks. */
export const records: usize = memory.data(4 * 64, 16)
/** The integer scales of the sub-blocks, as f32. */
export const scaleCodes: usize = memory.data(64, 16)
/** The wanted scales of the sub-blocks, and how fast the error grows around them. */
export const scales: usize = memory.data(64, 16)
const curvatures: usize = memory.data(64, 16)

/** Bits of d for the scales in the records; integers -bound .. bound - 1. */
// @ts-ignore: decorator
@inline
export function factorOfRecords(groups: usize, bound: f32, unit: f32): u32 {
  let extreme: f32 = 0
  for (let g: usize = 0; g < groups; g++) {
    v128.store(scales + 16 * g, v128.load(records + recordBytes * g, SCALE))
    v128.store(curvatures + 16 * g, v128.load(records + recordBytes * g, WLL))
  }
  for (let at: usize = 0; at < 16 * groups; at += 4) {
    const scale = load<f32>(scales + at)
    if (abs(scale) > abs(extreme)) extreme = scale
  }
  return toHalfAway(fitFactor(scales, curvatures, 4 * groups, extreme, -bound, bound - 1, 3.5 - bound, -0.3, 4) * unit)
}

/** What the best d so far explains of the squares, and its bits. */
let bestGain: f32 = -1
let bestFactor: u32 = 0

/** Forgets the super-block before; `first` are the bits of d where all codes are 0. */
// @ts-ignore: decorator
@inline
export function beginFactor(first: u32): void {
  bestGain = -1
  bestFactor = first
}

/**
 * Fits d to the integers and codes in the records; where it explains more than those before, the integers are stored as `scaleCodes`.
 * @returns the bits of the best d.
 */
// @ts-ignore: decorator
@inline
export function refitFactor(groups: usize, unit: f32): u32 {
  let ll = splat(0)
  let lx = splat(0)
  for (let g: usize = 0; g < groups; g++) {
    const record = records + recordBytes * g
    const integer = v128.load(record, SCALE)
    ll = add(ll, mul(mul(integer, integer), v128.load(record, WLL)))
    lx = add(lx, mul(integer, v128.load(record, WLX)))
  }
  const weight = total(ll), product = total(lx)
  const gain: f32 = weight > 0 ? (product / weight) * product : 0
  if (gain > bestGain) {
    bestGain = gain
    if (weight > 0) bestFactor = toHalf((product / weight) * unit)
    for (let g: usize = 0; g < groups; g++) v128.store(scaleCodes + 16 * g, v128.load(records + recordBytes * g, SCALE))
  }
  return bestFactor
}

/**
 * Encodes a super-block: d (half) goes to the target, the rest to `scaleCodes` and `codes`, codes less `lowest`.
 * @param n values in a sub-block; `sigmaFactor` see `loadSuperBlock`.
 * @param bound integer scales are -bound .. bound - 1; those up to `reach` from the wanted one are tried,
 *   in `rounds` with another d each.
 */
// @ts-ignore: decorator
@inline
export function encodeSymmetric(
  source: usize, target: usize, importance: usize, n: usize, lowest: f32, highest: f32, bound: f32,
  reach: f32, rounds: i32, sigmaFactor: f32,
): void {
  const factor = loadSuperBlock(source, importance, n, sigmaFactor)
  if (factor == 0) {
    store<u16>(target, 0)
    memory.fill(scaleCodes, 0, 64)
    memory.fill(codes, 0, 256)
    return
  }
  const groups: usize = 64 / n
  const unit = inverseOfPower(factor)
  for (let g: usize = 0; g < groups; g++) {
    const record = records + recordBytes * g
    searchSymmetric(
      values + 16 * n * g, weights + 16 * n * g, n, record, lowest, highest,
      isRough() ? 2 : byEffort(2, 5, 8), isRough() ? <f32>0.2 : byEffort<f32>(0.5, 1.2, 1.4), byEffort<f32>(1.2, 0.7, 0.45), 1,
    )
  }
  const first = factorOfRecords(groups, bound, unit)
  if (isRough()) {
    store<u16>(target, first)
    const inverse = invert(splat(halfToFloat(first) * factor))
    for (let at: usize = 0; at < 16 * groups; at += 16) {
      v128.store(scaleCodes + at, clamp(nearest(mul(v128.load(scales + at), inverse)), splat(-bound), splat(bound - 1)))
    }
    return
  }
  beginFactor(first)
  let d16 = first
  for (let round = 0; round < rounds; round++) {
    const start = round == 0 ? halfToFloat(first) * factor : nextFactor(round, halfToFloat(first), halfToFloat(d16)) * factor
    for (let g: usize = 0; g < groups; g++) {
      const record = records + recordBytes * g
      const wanted = nearest(divide(v128.load(scales + 16 * g), splat(start)))
      v128.store(record, splat(-f32.MAX_VALUE), GAIN)
      for (let step = -reach; step <= reach; step++) {
        const integer = clamp(add(wanted, splat(step)), splat(-bound), splat(bound - 1))
        const scale = mul(integer, splat(start))
        tryStored(values + 16 * n * g, weights + 16 * n * g, n, record, scale, integer, lowest, highest)
      }
    }
    d16 = refitFactor(groups, unit)
  }
  store<u16>(target, d16)
  const d = splat(halfToFloat(d16) * factor)
  for (let g: usize = 0; g < groups; g++) {
    writeSymmetricCodes(
      values + 16 * n * g, n, mul(v128.load(scaleCodes + 16 * g), d), lowest, highest, codes + 4 * n * g,
    )
  }
}
