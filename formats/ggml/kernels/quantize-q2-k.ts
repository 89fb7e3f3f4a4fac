// Encoder of Q2_K: 256 values as 16 sub-blocks of 16, value = d * scale * code - dmin * minimum, 4-bit scales and minimums.
//
// Memory map (84 bytes): 16 bytes, scale in the low half and minimum in the high half; 64 bytes of codes; d f16; dmin f16.
// Codes: bits 2 k of byte 32 h + i belong to value 128 h + 32 k + i. Source of the layout: ggml-common.h, block_q2_K.

import { encodeAffine, minimumCodes, scaleCodes } from './affine-super-block'
import { byEffort } from './effort'
import { packPairs } from './packing'
import { eachSuperBlock } from './super-blocks'

/** Quantizes rows of f32 to blocks of Q2_K. @param importance an f32 for each column, or 0 for none. */
export function quantize_q2_k(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  eachSuperBlock(source, target, rows, rowLength, importance, 84, encodeQ2K)
}

function encodeQ2K(source: usize, target: usize, weights: usize): void {
  encodeAffine(source, target + 80, weights, 16, 3, 15, 1, byEffort(2, 3, 4), byEffort<f32>(-0.2, -0.4, -0.45), byEffort<f32>(0.7, 0.6, 0.42))
  for (let j: usize = 0; j < 16; j++) {
    store<u8>(target + j, <u32>load<f32>(scaleCodes + 4 * j) | (<u32>load<f32>(minimumCodes + 4 * j) << 4))
  }
  packPairs(target + 16, 0)
}
