// Encoders of IQ4_NL and IQ4_XS: value = scale * level[code], 16 levels of unequal steps.
//
// Memory map, IQ4_NL (18 bytes, 32 values): d f16, 16 bytes of codes; byte i holds value i in the low half, value 16 + i in the high half.
//             IQ4_XS (136 bytes, 256 values as 8 sub-blocks of 32, scale = d * (s - 32)): d f16; u16, bits 2 j of which are the high pair
//             of scale j; 4 bytes with the low halves of scales 2 j and 2 j + 1; 16 bytes of codes for each sub-block, as above.
// Source of layout and levels: ggml-common.h, block_iq4_nl, block_iq4_xs and kvalues_iq4nl.
//
// A value in units of the levels is rounded to an integer and looked up, 16 at a time: of the 16 cells of 16 integers none holds more
// than one boundary between levels, so that a cell's boundary and the level on either side of it are three byte shuffles.

import { halfToFloat } from './half'
import {
  add, beginRows, codes, divide, fitFactor, inverseOfPower, least, loadBlocks, loadSuperBlock, most, mul, nearest, pick,
  rounder, roundToHalf, splat, sub, toHalf, values, weights,
} from './lanes'
import { packNibbles } from './packing'

/** The last integer below the boundary in a cell; 127 where a cell has none. */
const boundary = i8x16(-116, 127, -94, -74, -57, -42, -29, -5, 7, 19, 45, 61, 127, 127, 101, 127)
/** The code below the boundary, and the levels below and above it. */
const codeBelow = i8x16(0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 14, 15)
const levelBelow = i8x16(-127, -104, -104, -83, -65, -49, -35, -10, 1, 13, 38, 53, 69, 89, 89, 113)
const levelAbove = i8x16(-104, -104, -83, -65, -49, -35, -22, 1, 13, 25, 53, 69, 69, 89, 113, 113)

/** Record of a group of four: the value of largest magnitude; gain, scale and sum w l^2 of the best assignment. */
const EXTREME: usize = 0
const GAIN: usize = 16
const SCALE: usize = 32
const LL: usize = 48
const recordBytes: usize = 64
const records: usize = memory.data(2 * 64, 16)
const trial: usize = memory.data(32, 16)
const scales: usize = memory.data(32, 16)
const curvatures: usize = memory.data(32, 16)
const scaleCodes: usize = memory.data(32, 16)
const bits: usize = memory.data(16, 16)

export function quantize_iq4_nl(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  const perRow = rowLength >> 5, blocks = rows * perRow
  beginRows()
  for (let first = 0; first < blocks; first += 4) {
    const factor = loadBlocks(source, importance, first, blocks, perRow, 2)
    search(values, weights, records)
    const scale = roundToHalf(v128.load(records, SCALE), factor, bits)
    emit(values, scale, codes)
    for (let k = 0; k < min(4, blocks - first); k++) {
      store<u16>(target, load<u32>(bits + 4 * k))
      packNibbles(codes + 32 * k, target + 2, 32, 16)
      target += 18
    }
  }
}

export function quantize_iq4_xs(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  const blocks = rowLength >> 8
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      encodeSuperBlock(source, target, importance == 0 ? 0 : importance + 1024 * block)
      source += 1024
      target += 136
    }
  }
}

function encodeSuperBlock(source: usize, target: usize, importance: usize): void {
  const factor = loadSuperBlock(source, importance, 32, 2)
  if (factor == 0) {
    memory.fill(target, 0, 136)
    return
  }
  let extreme: f32 = 0
  for (let g: usize = 0; g < 2; g++) {
    const record = records + recordBytes * g
    search(values + 512 * g, weights + 512 * g, record)
    v128.store(scales + 16 * g, v128.load(record, SCALE))
    v128.store(curvatures + 16 * g, v128.load(record, LL))
  }
  for (let j: usize = 0; j < 8; j++) {
    const scale = load<f32>(scales + 4 * j)
    if (abs(scale) > abs(extreme)) extreme = scale
  }
  const d16 = toHalf(fitFactor(scales, curvatures, 8, extreme, -32, 31, -28.5, -0.3, 4) * inverseOfPower(factor))
  const d = splat(halfToFloat(d16) * factor)
  for (let g: usize = 0; g < 2; g++) {
    refine(values + 512 * g, weights + 512 * g, records + recordBytes * g, d)
    v128.store(scaleCodes + 16 * g, v128.load(records + recordBytes * g, SCALE))
    emit(values + 512 * g, mul(v128.load(records + recordBytes * g, SCALE), d), codes + 128 * g)
  }
  store<u16>(target, d16)
  let high: u32 = 0
  for (let j: usize = 0; j < 8; j += 2) {
    const a = <u32>(<i32>load<f32>(scaleCodes + 4 * j) + 32), b = <u32>(<i32>load<f32>(scaleCodes + 4 * j, 4) + 32)
    store<u8>(target + (j >> 1), (a & 15) | ((b & 15) << 4), 4)
    high |= ((a >> 4) | ((b >> 4) << 2)) << (2 * <u32>j)
  }
  store<u16>(target, high, 2)
  packNibbles(codes, target + 8, 256, 16)
}

/** Four vectors of values in units of the levels, rounded to bytes. */
@inline function toBytes(x: usize, inverse: v128): v128 {
  const r = splat(rounder)
  const a = i32x4.sub(add(mul(v128.load(x), inverse), r), r), b = i32x4.sub(add(mul(v128.load(x, 16), inverse), r), r)
  const c = i32x4.sub(add(mul(v128.load(x, 32), inverse), r), r), d = i32x4.sub(add(mul(v128.load(x, 48), inverse), r), r)
  return i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d))
}

@inline function cells(bytes: v128): v128 {
  return v128.and(i16x8.shr_u(v128.xor(bytes, i8x16.splat(-128)), 4), i8x16.splat(15))
}

/** Keeps x * inverse within what rounding can hold. */
@inline function bounded(inverse: v128): v128 { return least(most(inverse, splat(-4e5)), splat(4e5)) }

/** Sums w x level and w level^2. */
@inline function measure(x: usize, w: usize, inverse: v128): void {
  let slx = splat(0), sll = splat(0)
  for (let at: usize = 0; at < 512; at += 64) {
    const bytes = toBytes(x + at, inverse), cell = cells(bytes)
    const above = i8x16.gt_s(bytes, i8x16.swizzle(boundary, cell))
    const level = v128.bitselect(i8x16.swizzle(levelAbove, cell), i8x16.swizzle(levelBelow, cell), above)
    const low = i16x8.extend_low_i8x16_s(level), high = i16x8.extend_high_i8x16_s(level)
    const a = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), b = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low))
    const c = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), d = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high))
    const wa = mul(v128.load(w + at), a), wb = mul(v128.load(w + at, 16), b)
    const wc = mul(v128.load(w + at, 32), c), wd = mul(v128.load(w + at, 48), d)
    slx = add(slx, add(add(mul(wa, v128.load(x + at)), mul(wb, v128.load(x + at, 16))), add(mul(wc, v128.load(x + at, 32)), mul(wd, v128.load(x + at, 48)))))
    sll = add(sll, add(add(mul(wa, a), mul(wb, b)), add(mul(wc, c), mul(wd, d))))
  }
  v128.store(trial, slx)
  v128.store(trial, sll, 16)
}

@inline function keep(record: usize, field: usize, mask: v128, value: v128): void {
  v128.store(record + field, pick(mask, value, v128.load(record + field)))
}

function search(x: usize, w: usize, record: usize): void {
  let low = splat(0), high = splat(0)
  for (let at: usize = 0; at < 512; at += 16) {
    low = least(low, v128.load(x + at))
    high = most(high, v128.load(x + at))
  }
  const perExtreme = divide(splat(1), pick(f32x4.gt(sub(splat(0), low), high), low, high))
  v128.store(record, splat(0), GAIN)
  v128.store(record, splat(0), SCALE)
  v128.store(record, splat(0), LL)
  for (let k = 0; k < 16; k++) {
    const reach: f32 = 104 + 6 * <f32>(k >> 1)
    tryInverse(x, w, record, mul(splat((k & 1) == 0 ? -reach : reach), perExtreme))
  }
  for (let k = 0; k < 2; k++) tryInverse(x, w, record, divide(splat(1), v128.load(record, SCALE)))
}

@inline function tryInverse(x: usize, w: usize, record: usize, inverse: v128): void {
  measure(x, w, bounded(inverse))
  const slx = v128.load(trial), sll = v128.load(trial, 16)
  const scale = divide(slx, sll), gain = mul(scale, slx)
  const better = f32x4.gt(gain, v128.load(record, GAIN))
  keep(record, GAIN, better, gain)
  keep(record, SCALE, better, scale)
  keep(record, LL, better, sll)
}

/** Chooses the integer scales of a group, in place of its scales. */
function refine(x: usize, w: usize, record: usize, d: v128): void {
  const start = nearest(divide(v128.load(record, SCALE), d))
  v128.store(record, splat(-f32.MAX_VALUE), GAIN)
  for (let step: f32 = -1; step <= 1; step++) {
    const integer = least(most(add(start, splat(step)), splat(-32)), splat(31)), scale = mul(integer, d)
    measure(x, w, bounded(divide(splat(1), scale)))
    const gain = mul(scale, sub(mul(splat(2), v128.load(trial)), mul(scale, v128.load(trial, 16))))
    const better = f32x4.gt(gain, v128.load(record, GAIN))
    keep(record, GAIN, better, gain)
    keep(record, SCALE, better, integer)
  }
}

/** Writes the codes of a group. */
function emit(x: usize, scale: v128, to: usize): void {
  const inverse = bounded(divide(splat(1), scale))
  for (let i: usize = 0; i < 32; i += 4) {
    const bytes = toBytes(x + 16 * i, inverse), cell = cells(bytes)
    const above = i8x16.gt_s(bytes, i8x16.swizzle(boundary, cell))
    const code = i8x16.sub(i8x16.swizzle(codeBelow, cell), above)
    const runs = i8x16.shuffle(code, code, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
    v128.store32_lane(to + i, runs, 0)
    v128.store32_lane(to + i + 32, runs, 1)
    v128.store32_lane(to + i + 64, runs, 2)
    v128.store32_lane(to + i + 96, runs, 3)
  }
}
