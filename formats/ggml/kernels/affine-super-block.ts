// Super-blocks of 256 values, value = d * scale * code - dmin * minimum, small integer scales and minimums: Q2_K, Q4_K, Q5_K.
//
// 1. For each sub-block, scale and minimum as if they could be any number. 2. From those, d and dmin. 3. For each sub-block again,
// the integers: neighbours of the wanted scale, each with the minimum that suits its codes, judged by the error with exactly what will
// be stored. 4. d and dmin by least squares for the codes and integers found. 5. The codes for exactly what is stored.

import {
  ERROR, LOW, OFFSET, SCALE, W, WL, WLL, WLY, WY, recordBytes, searchAffine, trialWl, tryStored, writeAffineCodes,
} from './affine'
import { byEffort } from './effort'
import { fitFactor, inverseOfPower, nextFactor, toHalf, toHalfAway } from './factor'
import { halfToFloat } from './half'
import { add, clamp, codes, divide, invert, mul, nearest, negate, splat, sub, total, values, weights } from './lanes'
import { largest, loadSuperBlock } from './load'

const records: usize = memory.data(4 * 176, 16)
/** Of each sub-block, f32: wanted scale and minimum, and how fast the error grows around them. */
const scales: usize = memory.data(64, 16)
const scaleCurvatures: usize = memory.data(64, 16)
const minimums: usize = memory.data(64, 16)
const minimumCurvatures: usize = memory.data(64, 16)
/** The integer scales and minimums of the sub-blocks, as f32. */
export const scaleCodes: usize = memory.data(64, 16)
export const minimumCodes: usize = memory.data(64, 16)

/**
 * Encodes a super-block: d and dmin (halves, 4 bytes) go to the target, the rest to `scaleCodes`, `minimumCodes` and `codes`.
 * @param n values in a sub-block; `top` the largest code, `integers` the largest scale and minimum.
 * @param sigmaFactor see `loadSuperBlock`; `side`, `first`, `spacing` see `searchAffine`.
 */
// @ts-ignore: decorator
@inline
export function encodeAffine(
  source: usize, target: usize, importance: usize,
  n: usize, top: f32, integers: f32, sigmaFactor: f32, side: i32, first: f32, spacing: f32,
): void {
  const factor = loadSuperBlock(source, importance, n, sigmaFactor)
  if (factor == 0) {
    store<u32>(target, 0)
    memory.fill(scaleCodes, 0, 64)
    memory.fill(minimumCodes, 0, 64)
    memory.fill(codes, 0, 256)
    return
  }
  const groups: usize = 64 / n
  for (let g: usize = 0; g < groups; g++) {
    const record = records + recordBytes * g
    searchAffine(values + 16 * n * g, weights + 16 * n * g, n, record, top, 0, side, first, spacing)
    const sl = v128.load(record, WL)
    v128.store(scales + 16 * g, v128.load(record, SCALE))
    // Of the error as a function of the scale alone, the minimum being nearly free; wholly free it would count for nothing that all
    // codes of a sub-block are alike.
    const absorbed = mul(divide(mul(sl, sl), v128.load(record, W)), splat(0.999))
    v128.store(scaleCurvatures + 16 * g, sub(v128.load(record, WLL), absorbed))
    v128.store(minimums + 16 * g, minimumOf(record, v128.load(record, OFFSET)))
    v128.store(minimumCurvatures + 16 * g, v128.load(record, W))
  }
  const count: usize = 4 * groups
  const unit = inverseOfPower(factor)
  const wantedD = fitFactor(scales, scaleCurvatures, count, largest(scales, count), 0, integers, integers - 4, 0.3, 4)
  const wantedM = fitFactor(minimums, minimumCurvatures, count, largest(minimums, count), 0, integers, integers - 4, 0.3, 4)
  const firstD = toHalfAway(wantedD * unit), firstM = toHalfAway(wantedM * unit)
  bestError = f32.MAX_VALUE
  bestD = firstD
  bestM = firstM
  const rounds = byEffort(1, 1, 3), reach = byEffort<f32>(1, 3, 3)
  for (let round = 0; round < rounds; round++) {
    const d = round == 0 ? halfToFloat(firstD) : nextFactor(round, halfToFloat(firstD), halfToFloat(bestD))
    const m = round == 0 ? halfToFloat(firstM) : halfToFloat(bestM)
    for (let g: usize = 0; g < groups; g++) chooseIntegers(g, n, splat(d * factor), splat(m * factor), top, integers, reach)
    refitFactors(groups, unit)
  }
  store<u16>(target, bestD)
  store<u16>(target, bestM, 2)
  const d = splat(halfToFloat(bestD) * factor)
  const m = splat(halfToFloat(bestM) * factor)
  for (let g: usize = 0; g < groups; g++) {
    const offset = offsetOf(records + recordBytes * g, mul(v128.load(minimumCodes + 16 * g), m))
    writeAffineCodes(values + 16 * n * g, n, mul(v128.load(scaleCodes + 16 * g), d), offset, top, codes + 4 * n * g)
  }
}

/** The least error so far, less the sum of w x^2, in normalized units; the bits of its d and dmin. */
let bestError: f32 = 0
let bestD: u32 = 0
let bestM: u32 = 0

/** Fits d and dmin to the integers and codes in the records; keeps all if the error is less than before. */
// @ts-ignore: decorator
@inline
function refitFactors(groups: usize, unit: f32): void {
  let ss = splat(0)
  let sm = splat(0)
  let mm = splat(0)
  let sx = splat(0)
  let mx = splat(0)
  for (let g: usize = 0; g < groups; g++) {
    const record = records + recordBytes * g
    const scale = v128.load(record, SCALE)
    const minimum = v128.load(record, OFFSET)
    const low = v128.load(record, LOW)
    const sl = v128.load(record, WL)
    const sw = v128.load(record, W)
    ss = add(ss, mul(mul(scale, scale), v128.load(record, WLL)))
    sm = add(sm, mul(mul(scale, minimum), sl))
    mm = add(mm, mul(mul(minimum, minimum), sw))
    sx = add(sx, mul(scale, add(v128.load(record, WLY), mul(low, sl))))
    mx = add(mx, mul(minimum, add(v128.load(record, WY), mul(low, sw))))
  }
  const a = total(ss), b = total(sm), c = total(mm), s = total(sx), t = total(mx)
  const determinant = a * c - b * b
  const sound = determinant > a * c * 1e-5
  const d = (s * c - t * b) / determinant, m = (s * b - t * a) / determinant
  const fits = sound && d > 0 && m >= 0
  // What least squares explain.
  const error: f32 = fits ? m * t - d * s : 0
  if (error >= bestError) return
  bestError = error
  if (fits) {
    bestD = toHalf(d * unit)
    bestM = toHalf(m * unit)
  }
  for (let g: usize = 0; g < groups; g++) {
    v128.store(scaleCodes + 16 * g, v128.load(records + recordBytes * g, SCALE))
    v128.store(minimumCodes + 16 * g, v128.load(records + recordBytes * g, OFFSET))
  }
}

/** x = y + low = ... - minimum, so that an offset of y is a minimum of x and the other way round. */
// @ts-ignore: decorator
@inline
function minimumOf(record: usize, offset: v128): v128 {
  return negate(add(v128.load(record, LOW), offset))
}

// @ts-ignore: decorator
@inline
function offsetOf(record: usize, minimum: v128): v128 {
  return negate(add(v128.load(record, LOW), minimum))
}

/** Chooses the integers of a group of sub-blocks. */
// @ts-ignore: decorator
@inline
function chooseIntegers(g: usize, n: usize, d: v128, m: v128, top: f32, integers: f32, reach: f32): void {
  const record = records + recordBytes * g
  const perM = invert(m)
  const perW = invert(v128.load(record, W))
  const wanted = nearest(divide(v128.load(scales + 16 * g), d))
  const first = v128.load(record, WL)
  v128.store(record, splat(f32.MAX_VALUE), ERROR)
  for (let step = -reach; step < reach; step++) {
    const integer = clamp(add(wanted, splat(step)), splat(0), splat(integers))
    const scale = mul(integer, d)
    let sl = first
    for (let k = byEffort(1, 0, 0); k < 2; k++) {
      // The offset that suits these codes best is their mean residue.
      const offset = mul(sub(v128.load(record, WY), mul(scale, sl)), perW)
      const minimum = clamp(nearest(mul(minimumOf(record, offset), perM)), splat(0), splat(integers))
      const stored = offsetOf(record, mul(minimum, m))
      tryStored(values + 16 * n * g, weights + 16 * n * g, n, record, scale, stored, top, integer, minimum)
      sl = trialWl()
    }
  }
}
