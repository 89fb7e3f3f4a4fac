// Encoders of Q4_0, Q4_1, Q5_0 and Q5_1: blocks of 32 values with one scale; four blocks in the lanes.
//
// Memory map: d f16; for _1 the minimum f16; for Q5 32 fifth bits, bit i of value i; 16 bytes of codes, byte i holding value i in the low
// half and value 16 + i in the high half. Values: d * (code - 8), d * (code - 16) for _0; d * code + minimum for _1.
// Source of the layout: ggml-common.h, block_q4_0 and its neighbours.

import { byEffort } from './effort'
import { LOW, OFFSET, SCALE, searchAffine, writeAffineCodes } from './affine'
import { roundToHalf } from './factor'
import { add, codes, sub, values, weights } from './lanes'
import { beginRows, loadBlocks } from './load'
import { packNibbles } from './packing'
import { SCALE as SYMMETRIC_SCALE, searchSymmetric, writeSymmetricCodes } from './symmetric'

const record: usize = memory.data(176, 16)
/** Bits of the four scales, and of the four minimums. */
const scaleBits: usize = memory.data(16, 16)
const minimumBits: usize = memory.data(16, 16)

/** Quantizes rows of f32 to blocks of Q4_0. @param importance an f32 for each column, or 0 for none. */
export function quantize_q4_0(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  encodeSymmetric(source, target, rows, rowLength, importance, 8)
}
/** Quantizes rows of f32 to blocks of Q5_0. @param importance an f32 for each column, or 0 for none. */
export function quantize_q5_0(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  encodeSymmetric(source, target, rows, rowLength, importance, 16)
}
/** Quantizes rows of f32 to blocks of Q4_1. @param importance an f32 for each column, or 0 for none. */
export function quantize_q4_1(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  encodeAffine(source, target, rows, rowLength, importance, 15)
}
/** Quantizes rows of f32 to blocks of Q5_1. @param importance an f32 for each column, or 0 for none. */
export function quantize_q5_1(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  encodeAffine(source, target, rows, rowLength, importance, 31)
}

// @ts-ignore: decorator
@inline
function encodeSymmetric(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize, half: f32): void {
  const perRow = rowLength >> 5
  const blocks = rows * perRow
  // Without importance ggml does not search at all.
  const quick = byEffort(importance == 0, false, false)
  beginRows()
  for (let first = 0; first < blocks; first += 4) {
    const factor = loadBlocks(source, importance, first, blocks, perRow, 0)
    searchSymmetric(
      values, weights, 32, record, -half, half - 1,
      quick ? 1 : byEffort(3, 7, 16), quick ? <f32>0.2 : byEffort<f32>(0.8, 1.5, 1.6), byEffort<f32>(0.8, 0.5, 0.23), byEffort(1, 2, 4),
    )
    const scale = roundToHalf(v128.load(record, SYMMETRIC_SCALE), factor, scaleBits)
    writeSymmetricCodes(values, 32, scale, -half, half - 1, codes)
    for (let k = 0; k < min(4, blocks - first); k++) {
      store<u16>(target, load<u32>(scaleBits + 4 * k))
      target = writeCodes(target + 2, k, half == 16)
    }
  }
}

// @ts-ignore: decorator
@inline
function encodeAffine(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize, top: f32): void {
  const perRow = rowLength >> 5
  const blocks = rows * perRow
  // Without importance ggml does not search at all.
  const quick = byEffort(importance == 0, false, false)
  beginRows()
  for (let first = 0; first < blocks; first += 4) {
    const factor = loadBlocks(source, importance, first, blocks, perRow, 0)
    searchAffine(values, weights, 32, record, top, f32.MAX_VALUE, quick ? 1 : byEffort(2, 4, 7), quick ? 0 : byEffort<f32>(-0.6, -0.8, -0.9), byEffort<f32>(0.8, 0.6, 0.35))
    const low = v128.load(record, LOW)
    const scale = roundToHalf(v128.load(record, SCALE), factor, scaleBits)
    const minimum = roundToHalf(add(low, v128.load(record, OFFSET)), factor, minimumBits)
    writeAffineCodes(values, 32, scale, sub(minimum, low), top, codes)
    for (let k = 0; k < min(4, blocks - first); k++) {
      store<u16>(target, load<u32>(scaleBits + 4 * k))
      store<u16>(target, load<u32>(minimumBits + 4 * k), 2)
      target = writeCodes(target + 4, k, top == 31)
    }
  }
}

/** Writes the codes of block k; returns the address behind them. */
// @ts-ignore: decorator
@inline
function writeCodes(target: usize, k: usize, fifthBits: bool): usize {
  const from = codes + 32 * k
  if (fifthBits) {
    // The sign bits of bytes whose top bit is the code's fifth.
    store<u16>(target, i8x16.bitmask(i16x8.shl(v128.load(from), 3)))
    store<u16>(target, i8x16.bitmask(i16x8.shl(v128.load(from, 16), 3)), 2)
    target += 4
  }
  packNibbles(from, target, 32, 16)
  return target + 16
}
