// Encoder of Q6_K: 256 values as 16 sub-blocks of 16, value = d * scale * (code - 32), 8-bit signed scales.
//
// Memory map (210 bytes): 128 bytes of low halves, 64 bytes of high pairs, 16 scales i8, d f16. Low halves: byte 64 h + i holds value
// 128 h + i and, in its high half, value 128 h + 64 + i (i < 64). High pairs: bits 2 k of byte 32 h + i belong to value
// 128 h + 32 k + i. Source of the layout: ggml-common.h, block_q6_K.

import { byEffort } from './effort'
import { codes } from './lanes'
import { packNibbles, packPairs } from './packing'
import { encodeSymmetric, scaleCodes } from './symmetric-super-block'
import { eachSuperBlock } from './super-blocks'

/** Quantizes rows of f32 to blocks of Q6_K. @param importance an f32 for each column, or 0 for none. */
export function quantize_q6_k(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  eachSuperBlock(source, target, rows, rowLength, importance, 210, encodeQ6K)
}

function encodeQ6K(source: usize, target: usize, weights: usize): void {
  encodeSymmetric(source, target + 208, weights, 16, -32, 31, 128, byEffort<f32>(1, 4, 4), byEffort(1, 1, 2), 0)
  packNibbles(codes, target, 256, 64)
  packPairs(target + 128, 4)
  for (let j: usize = 0; j < 16; j++) store<i8>(target + 192 + j, <i32>load<f32>(scaleCodes + 4 * j))
}
