// Encoders of Q4_0, Q4_1, Q5_0 and Q5_1: blocks of 32 values with one scale; four blocks in the lanes.
//
// Memory map: d f16; for _1 the minimum f16; for Q5 32 fifth bits, bit i of value i; 16 bytes of codes, byte i holding value i in the low
// half and value 16 + i in the high half. Values: d * (code - 8), d * (code - 16) for _0; d * code + minimum for _1.
// Source of the layout: ggml-common.h, block_q4_0 and its neighbours.

import { blockCodes, blockMinimums, blockScales, searchBlocks } from './affine'
import { beginRows, codes, loadBlocks, roundToHalf } from './lanes'
import { packNibbles } from './packing'
import { symmetricCodes, symmetricScales } from './symmetric'

/** Bits of the four scales, and of the four minimums. */
const scaleBits: usize = memory.data(16, 16)
const minimumBits: usize = memory.data(16, 16)

export function quantize_q4_0(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  encodeSymmetric(source, target, rows, rowLength, importance, 8)
}
export function quantize_q5_0(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  encodeSymmetric(source, target, rows, rowLength, importance, 16)
}
export function quantize_q4_1(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  encodeAffine(source, target, rows, rowLength, importance, 15)
}
export function quantize_q5_1(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  encodeAffine(source, target, rows, rowLength, importance, 31)
}

@inline function encodeSymmetric(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize, half: f32): void {
  const perRow = rowLength >> 5, blocks = rows * perRow
  beginRows()
  for (let first = 0; first < blocks; first += 4) {
    const factor = loadBlocks(source, importance, first, blocks, perRow, 0)
    const scale = roundToHalf(symmetricScales(-half, half - 1), factor, scaleBits)
    symmetricCodes(scale, -half, half - 1)
    for (let k = 0; k < min(4, blocks - first); k++) {
      store<u16>(target, load<u32>(scaleBits + 4 * k))
      target = writeCodes(target + 2, k, half == 16)
    }
  }
}

@inline function encodeAffine(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize, top: f32): void {
  const perRow = rowLength >> 5, blocks = rows * perRow
  beginRows()
  for (let first = 0; first < blocks; first += 4) {
    const factor = loadBlocks(source, importance, first, blocks, perRow, 0)
    searchBlocks(top)
    const scale = roundToHalf(blockScales(), factor, scaleBits)
    const minimum = roundToHalf(blockMinimums(), factor, minimumBits)
    blockCodes(scale, minimum, top)
    for (let k = 0; k < min(4, blocks - first); k++) {
      store<u16>(target, load<u32>(scaleBits + 4 * k))
      store<u16>(target, load<u32>(minimumBits + 4 * k), 2)
      target = writeCodes(target + 4, k, top == 31)
    }
  }
}

/** Writes the codes of block k; returns the address behind them. */
@inline function writeCodes(target: usize, k: usize, fifthBits: bool): usize {
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
