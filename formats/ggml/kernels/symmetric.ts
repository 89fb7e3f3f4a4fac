// Search for the scale of types whose values are scale * code, codes lowest .. highest: four sub-blocks in the lanes.
//
// Memory map: each group of four sub-blocks has a record of 16-byte vectors (offsets below); `trial` holds the sums of the assignment
// of codes measured last.

import { halfToFloat } from './half'
import {
  add, codes, divide, fitFactor, inverseOfPower, least, loadSuperBlock, most, mul, nearest, pick, rounder, splat, storeCodes,
  sub, toHalf, values, weights,
} from './lanes'

/** Record of a group: the value of largest magnitude. */
const EXTREME: usize = 0
/** Gain (sum w x l)^2 / sum w l^2 of the best assignment: the squared weight that its best scale explains. */
const GAIN: usize = 16
/** Its scale, and its sum w l^2. */
const SCALE: usize = 32
const LL: usize = 48
const recordBytes: usize = 64

const records: usize = memory.data(4 * 64, 16)
const trial: usize = memory.data(32, 16)
const scales: usize = memory.data(64, 16)
const curvatures: usize = memory.data(64, 16)
/** The integer scales of the sub-blocks, as f32. */
export const scaleCodes: usize = memory.data(64, 16)

@inline function begin(x: usize, n: usize, record: usize): void {
  let low = splat(0), high = splat(0)
  for (let at: usize = 0; at < 16 * n; at += 16) {
    const value = v128.load(x + at)
    low = least(low, value)
    high = most(high, value)
  }
  v128.store(record, pick(f32x4.gt(sub(splat(0), low), high), low, high), EXTREME)
  v128.store(record, splat(0), GAIN)
  v128.store(record, splat(0), SCALE)
  v128.store(record, splat(0), LL)
}

/** Sums w x l and w l^2 for the codes round(x * inverse), clamped. */
@inline function measure(x: usize, w: usize, n: usize, inverse: v128, lowest: f32, highest: f32): void {
  let sll = splat(0), slx = splat(0)
  const low = splat(rounder + lowest), high = splat(rounder + highest)
  for (let at: usize = 0; at < 16 * n; at += 16) {
    const value = v128.load(x + at)
    const l = sub(least(most(add(mul(value, inverse), splat(rounder)), low), high), splat(rounder))
    const wl = mul(v128.load(w + at), l)
    slx = add(slx, mul(wl, value))
    sll = add(sll, mul(wl, l))
  }
  v128.store(trial, slx)
  v128.store(trial, sll, 16)
}

@inline function tryInverse(x: usize, w: usize, n: usize, record: usize, inverse: v128, lowest: f32, highest: f32): void {
  measure(x, w, n, inverse, lowest, highest)
  const slx = v128.load(trial), sll = v128.load(trial, 16)
  const scale = divide(slx, sll), gain = mul(scale, slx)
  const better = f32x4.gt(gain, v128.load(record, GAIN))
  keep(record, GAIN, better, gain)
  keep(record, SCALE, better, scale)
  keep(record, LL, better, sll)
}

@inline function keep(record: usize, field: usize, mask: v128, value: v128): void {
  v128.store(record + field, pick(mask, value, v128.load(record + field)))
}

/** Fills the record of a group. */
@inline function search(x: usize, w: usize, n: usize, record: usize, lowest: f32, highest: f32): void {
  begin(x, n, record)
  const perExtreme = divide(splat(1), v128.load(record, EXTREME))
  for (let k = 0; k < 7; k++) {
    tryInverse(x, w, n, record, mul(splat(lowest + 0.9 - 0.25 * <f32>k), perExtreme), lowest, highest)
    tryInverse(x, w, n, record, mul(splat(-(lowest + 0.9 - 0.25 * <f32>k)), perExtreme), lowest, highest)
  }
  for (let k = 0; k < 2; k++) tryInverse(x, w, n, record, divide(splat(1), v128.load(record, SCALE)), lowest, highest)
}

/** Scales of the four blocks in `values`. */
@inline export function symmetricScales(lowest: f32, highest: f32): v128 {
  search(values, weights, 32, records, lowest, highest)
  return v128.load(records, SCALE)
}

/** Writes the codes, less `lowest`, of the four blocks in `values` for their scales to `codes`. */
@inline export function symmetricCodes(scale: v128, lowest: f32, highest: f32): void {
  emitAt(values, 32, scale, codes, lowest, highest)
}

/** Writes d (f16) to the target, the integer scales to `scaleCodes` and the codes, less `lowest`, to `codes`. */
@inline export function encodeSymmetric(
  source: usize, target: usize, importance: usize, n: usize, lowest: f32, highest: f32, integers: f32, sigmaFactor: f32,
): void {
  const factor = loadSuperBlock(source, importance, n, sigmaFactor)
  if (factor == 0) {
    store<u16>(target, 0)
    memory.fill(scaleCodes, 0, 64)
    memory.fill(codes, 0, 256)
    return
  }
  for (let g: usize = 0; g < 64 / n; g++) {
    const record = records + recordBytes * g
    search(values + 16 * n * g, weights + 16 * n * g, n, record, lowest, highest)
    v128.store(scales + 16 * g, v128.load(record, SCALE))
    v128.store(curvatures + 16 * g, v128.load(record, LL))
  }
  let extreme: f32 = 0
  for (let j: usize = 0; j < 256 / n; j++) {
    const scale = load<f32>(scales + 4 * j)
    if (abs(scale) > abs(extreme)) extreme = scale
  }
  const d16 = toHalf(fitFactor(scales, curvatures, 256 / n, extreme, -integers, integers - 1, 3.5 - integers, -0.3, 4) * inverseOfPower(factor))
  store<u16>(target, d16)
  const d = halfToFloat(d16) * factor
  for (let g: usize = 0; g < 64 / n; g++) {
    refine(g, n, splat(d), lowest, highest, integers)
    emitAt(values + 16 * n * g, n, mul(v128.load(scaleCodes + 16 * g), splat(d)), codes + 4 * n * g, lowest, highest)
  }
}

/** Chooses the integer scales of a group of sub-blocks. */
@inline function refine(g: usize, n: usize, d: v128, lowest: f32, highest: f32, integers: f32): void {
  const x = values + 16 * n * g, w = weights + 16 * n * g, record = records + recordBytes * g
  const start = nearest(divide(v128.load(record, SCALE), d))
  v128.store(record, splat(-f32.MAX_VALUE), GAIN)
  for (let step: f32 = -1; step <= 1; step++) {
    const integer = least(most(add(start, splat(step)), splat(-integers)), splat(integers - 1))
    const scale = mul(integer, d)
    measure(x, w, n, divide(splat(1), scale), lowest, highest)
    const slx = v128.load(trial), sll = v128.load(trial, 16)
    const gain = mul(scale, sub(mul(splat(2), slx), mul(scale, sll)))
    const better = f32x4.gt(gain, v128.load(record, GAIN))
    keep(record, GAIN, better, gain)
    keep(record, SCALE, better, integer)
  }
  v128.store(scaleCodes + 16 * g, v128.load(record, SCALE))
}

/** Writes the codes that fit the rounded scales best. */
@inline function emitAt(x: usize, n: usize, scale: v128, to: usize, lowest: f32, highest: f32): void {
  const inverse = divide(splat(1), scale)
  for (let i: usize = 0; i < n; i += 4) {
    const at = x + 16 * i
    storeCodes(
      code(v128.load(at), inverse, lowest, highest), code(v128.load(at, 16), inverse, lowest, highest),
      code(v128.load(at, 32), inverse, lowest, highest), code(v128.load(at, 48), inverse, lowest, highest),
      to + i, n,
    )
  }
}

/** The code less `lowest`, in the low bits. */
@inline function code(x: v128, inverse: v128, lowest: f32, highest: f32): v128 {
  const clamped = least(most(add(mul(x, inverse), splat(rounder)), splat(rounder + lowest)), splat(rounder + highest))
  return sub(clamped, splat(lowest))
}
