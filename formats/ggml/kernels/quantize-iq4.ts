// Encoders of IQ4_NL and IQ4_XS: value = scale * level[code], 16 levels of unequal steps.
//
// Memory map, IQ4_NL (18 bytes, 32 values): d f16, 16 bytes of codes; byte i holds value i in the low half, value 16 + i in the high half.
//             IQ4_XS (136 bytes, 256 values as 8 sub-blocks of 32, scale = d * (s - 32)): d f16; u16, bits 2 j of which are the high pair
//             of scale j; 4 bytes with the low halves of scales 2 j and 2 j + 1; 16 bytes of codes for each sub-block, as above.
// Source of layout and levels: ggml-common.h, block_iq4_nl, block_iq4_xs and kvalues_iq4nl.
//
// A value in units of the levels is rounded to an integer and looked up, 16 at a time: of the 16 cells of 16 integers none holds more
// than one boundary between levels, so that a cell's boundary and the level on either side of it are three byte shuffles.

import { byEffort } from './effort'
import { inverseOfPower, nextFactor, roundToHalf } from './factor'
import { halfToFloat } from './half'
import {
  add, clamp, codes, divide, invert, mul, nearest, negate, rounder, splat, storeRuns, values, weights,
} from './lanes'
import { loadBlocks, loadSuperBlock } from './load'
import { packNibbles } from './packing'
import { GAIN, SCALE, beginSymmetric, keepFree, keepStored, perExtreme, recordBytes } from './symmetric'
import { beginFactor, factorOfRecords, records, refitFactor, scaleCodes, scales } from './symmetric-super-block'
import { eachSuperBlock } from './super-blocks'

/** The last integer below the boundary in a cell; 127 where a cell has none. */
const boundary = i8x16(-116, 127, -94, -74, -57, -42, -29, -5, 7, 19, 45, 61, 127, 127, 101, 127)
/** The code below the boundary, and the levels below and above it. */
const codeBelow = i8x16(0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 14, 15)
const levelBelow = i8x16(-127, -104, -104, -83, -65, -49, -35, -10, 1, 13, 38, 53, 69, 89, 89, 113)
const levelAbove = i8x16(-104, -104, -83, -65, -49, -35, -22, 1, 13, 25, 53, 69, 69, 89, 113, 113)

const trial: usize = memory.data(32, 16)
const scaleBits: usize = memory.data(16, 16)

/** Quantizes rows of f32 to blocks of IQ4_NL. @param importance an f32 for each column, or 0 for none. */
export function quantize_iq4_nl(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  const perRow = rowLength >> 5
  const blocks = rows * perRow
  for (let first = 0; first < blocks; first += 4) {
    const factor = loadBlocks(source, importance, first, blocks, perRow, 2)
    search(values, weights, records, byEffort(3, 8, 20), byEffort<f32>(100, 90, 84), byEffort<f32>(20, 8, 3.5))
    const scale = roundToHalf(v128.load(records, SCALE), factor, scaleBits)
    writeCodes(values, scale, codes)
    for (let k = 0; k < min(4, blocks - first); k++) {
      store<u16>(target, load<u32>(scaleBits + 4 * k))
      packNibbles(codes + 32 * k, target + 2, 32, 16)
      target += 18
    }
  }
}

/** Quantizes rows of f32 to blocks of IQ4_XS. @param importance an f32 for each column, or 0 for none. */
export function quantize_iq4_xs(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  eachSuperBlock(source, target, rows, rowLength, importance, 136, encodeSuperBlock)
}

function encodeSuperBlock(source: usize, target: usize, importance: usize): void {
  const factor = loadSuperBlock(source, importance, 32, 2)
  if (factor == 0) {
    memory.fill(target, 0, 136)
    return
  }
  const unit = inverseOfPower(factor)
  for (let g: usize = 0; g < 2; g++) {
    search(values + 512 * g, weights + 512 * g, records + recordBytes * g, byEffort(3, 6, 16), byEffort<f32>(100, 96, 84), byEffort<f32>(20, 10, 4.5))
  }
  const first = factorOfRecords(2, 32, unit)
  beginFactor(first)
  let d16 = first
  for (let round = 0, rounds = byEffort(1, 1, 3); round < rounds; round++) {
    const start = round == 0 ? halfToFloat(first) : nextFactor(round, halfToFloat(first), halfToFloat(d16))
    for (let g: usize = 0; g < 2; g++) {
      chooseIntegers(values + 512 * g, weights + 512 * g, records + recordBytes * g, v128.load(scales + 16 * g), splat(start * factor))
    }
    d16 = refitFactor(2, unit)
  }
  const d = splat(halfToFloat(d16) * factor)
  for (let g: usize = 0; g < 2; g++) {
    writeCodes(values + 512 * g, mul(v128.load(scaleCodes + 16 * g), d), codes + 128 * g)
  }
  let high: u32 = 0
  for (let j: usize = 0; j < 8; j += 2) {
    const a = <u32>(<i32>load<f32>(scaleCodes + 4 * j) + 32)
    const b = <u32>(<i32>load<f32>(scaleCodes + 4 * j, 4) + 32)
    store<u8>(target + (j >> 1), (a & 15) | ((b & 15) << 4), 4)
    high |= ((a >> 4) | ((b >> 4) << 2)) << (2 * <u32>j)
  }
  store<u16>(target, d16)
  store<u16>(target, high, 2)
  packNibbles(codes, target + 8, 256, 16)
}

/** Four vectors of values in units of the levels, rounded to bytes. */
// @ts-ignore: decorator
@inline
function toBytes(x: usize, inverse: v128): v128 {
  const r = splat(rounder)
  const a = i32x4.sub(add(mul(v128.load(x), inverse), r), r)
  const b = i32x4.sub(add(mul(v128.load(x, 16), inverse), r), r)
  const c = i32x4.sub(add(mul(v128.load(x, 32), inverse), r), r)
  const d = i32x4.sub(add(mul(v128.load(x, 48), inverse), r), r)
  return i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d))
}

/** The cell of each byte. */
// @ts-ignore: decorator
@inline
function cells(bytes: v128): v128 {
  return v128.and(i16x8.shr_u(v128.xor(bytes, i8x16.splat(-128)), 4), i8x16.splat(15))
}

/** Keeps x * inverse within what rounding can hold. */
// @ts-ignore: decorator
@inline
function bounded(inverse: v128): v128 {
  return clamp(inverse, splat(-4e5), splat(4e5))
}

/** Leaves in `trial` the sums of w level^2 and w level x. */
function measure(x: usize, w: usize, inverse: v128): void {
  let sll = splat(0)
  let slx = splat(0)
  for (let at: usize = 0; at < 512; at += 64) {
    const bytes = toBytes(x + at, inverse)
    const cell = cells(bytes)
    const above = i8x16.gt_s(bytes, i8x16.swizzle(boundary, cell))
    const level = v128.bitselect(i8x16.swizzle(levelAbove, cell), i8x16.swizzle(levelBelow, cell), above)
    const low = i16x8.extend_low_i8x16_s(level)
    const high = i16x8.extend_high_i8x16_s(level)
    const a = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low))
    const b = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low))
    const c = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high))
    const d = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high))
    const wa = mul(v128.load(w + at), a)
    const wb = mul(v128.load(w + at, 16), b)
    const wc = mul(v128.load(w + at, 32), c)
    const wd = mul(v128.load(w + at, 48), d)
    const ab = add(mul(wa, v128.load(x + at)), mul(wb, v128.load(x + at, 16)))
    const cd = add(mul(wc, v128.load(x + at, 32)), mul(wd, v128.load(x + at, 48)))
    slx = add(slx, add(ab, cd))
    sll = add(sll, add(add(mul(wa, a), mul(wb, b)), add(mul(wc, c), mul(wd, d))))
  }
  v128.store(trial, sll)
  v128.store(trial, slx, 16)
}

/** Fills a record: candidates that bring the extreme to first + k * spacing, on either side of 0, then one from the best scale found. */
// @ts-ignore: decorator
@inline
function search(x: usize, w: usize, record: usize, candidates: i32, first: f32, spacing: f32): void {
  beginSymmetric(record)
  const unit = perExtreme(x, 32)
  for (let k = 0; k < candidates; k++) {
    const inverse = mul(splat(first + spacing * <f32>k), unit)
    tryInverse(x, w, record, inverse)
    tryInverse(x, w, record, negate(inverse))
  }
  tryInverse(x, w, record, invert(v128.load(record, SCALE)))
}

// @ts-ignore: decorator
@inline
function tryInverse(x: usize, w: usize, record: usize, inverse: v128): void {
  measure(x, w, bounded(inverse))
  keepFree(record, v128.load(trial), v128.load(trial, 16))
}

/** Chooses the integer scales of a group, which take the place of its scales. */
// @ts-ignore: decorator
@inline
function chooseIntegers(x: usize, w: usize, record: usize, wantedScale: v128, d: v128): void {
  const wanted = nearest(divide(wantedScale, d))
  v128.store(record, splat(-f32.MAX_VALUE), GAIN)
  const reach = byEffort<f32>(1, 3, 5)
  for (let step = -reach; step <= reach; step++) {
    const integer = clamp(add(wanted, splat(step)), splat(-32), splat(31))
    const scale = mul(integer, d)
    measure(x, w, bounded(invert(scale)))
    keepStored(record, v128.load(trial), v128.load(trial, 16), scale, integer)
  }
}

/** Writes the codes of a group for four scales. */
function writeCodes(x: usize, scale: v128, to: usize): void {
  const inverse = bounded(invert(scale))
  for (let i: usize = 0; i < 32; i += 4) {
    const bytes = toBytes(x + 16 * i, inverse)
    const cell = cells(bytes)
    const above = i8x16.gt_s(bytes, i8x16.swizzle(boundary, cell))
    storeRuns(i8x16.sub(i8x16.swizzle(codeBelow, cell), above), to + i, 32)
  }
}
