// Encoder of Q3_K: 256 values as 16 sub-blocks of 16, value = d * (scale - 32) * (code - 4), 6-bit scales.
//
// Memory map (110 bytes): 32 bytes of third bits, 64 bytes of low pairs, 12 bytes of scales, d f16. Third bits: bit b of byte i belongs
// to value 32 b + i. Low pairs: bits 2 k of byte 32 h + i belong to value 128 h + 32 k + i. Scales: byte i < 8 holds the low halves
// of scales i and i + 8; bits 2 k of byte 8 + i hold the high pair of scale 4 k + i. Source of the layout: ggml-common.h, block_q3_K.

import { byEffort } from './effort'
import { packBits, packPairs } from './packing'
import { encodeSymmetric, scaleCodes } from './symmetric-super-block'
import { eachSuperBlock } from './super-blocks'

/** Quantizes rows of f32 to blocks of Q3_K. @param importance an f32 for each column, or 0 for none. */
export function quantize_q3_k(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  eachSuperBlock(source, target, rows, rowLength, importance, 110, encodeQ3K)
}

function encodeQ3K(source: usize, target: usize, weights: usize): void {
  encodeSymmetric(source, target + 108, weights, 16, -4, 3, 32, byEffort<f32>(1, 5, 5), byEffort(1, 1, 3), 2)
  packBits(target, 2)
  packPairs(target + 32, 0)
  packScales(target + 96)
}

function packScales(to: usize): void {
  for (let i: usize = 0; i < 8; i++) store<u8>(to + i, (scale(i) & 15) | ((scale(i + 8) & 15) << 4))
  for (let i: usize = 0; i < 4; i++) {
    store<u8>(to + i, (scale(i) >> 4) | ((scale(i + 4) >> 4) << 2) | ((scale(i + 8) >> 4) << 4) | ((scale(i + 12) >> 4) << 6), 8)
  }
}

// @ts-ignore: decorator
@inline
function scale(j: usize): u32 {
  return <u32>(<i32>load<f32>(scaleCodes + 4 * j) + 32)
}
