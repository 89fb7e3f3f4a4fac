// Encoders of Q4_K and Q5_K: 256 values as 8 sub-blocks of 32, value = d * scale * code - dmin * minimum, 6-bit scales and minimums.
//
// Memory map, Q4_K (144 bytes): d f16, dmin f16, 12 bytes of scales and minimums, 128 bytes of codes.
//             Q5_K (176 bytes): the same with 32 bytes of fifth bits before the 128 bytes of low bits.
// Codes: byte 32 p + i holds value 64 p + i in the low half and 64 p + 32 + i in the high half; bit b of the fifth bits' byte i
// belongs to value 32 b + i. Source of the layout: ggml-common.h, block_q4_K and block_q5_K.

import { encodeAffine, minimumCodes, scaleCodes } from './affine-super-block'
import { byEffort } from './effort'
import { codes } from './lanes'
import { packBits, packNibbles } from './packing'
import { eachSuperBlock } from './super-blocks'

/** Quantizes rows of f32 to blocks of Q4_K. @param importance an f32 for each column, or 0 for none. */
export function quantize_q4_k(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  eachSuperBlock(source, target, rows, rowLength, importance, 144, encodeQ4K)
}

function encodeQ4K(source: usize, target: usize, weights: usize): void {
  encodeAffine(source, target, weights, 32, 15, 63, 2, byEffort(2, 3, 5), byEffort<f32>(-0.5, -0.7, -0.9), byEffort<f32>(0.7, 0.7, 0.42))
  packScales(target + 4)
  packNibbles(codes, target + 16, 256, 32)
}

/** Quantizes rows of f32 to blocks of Q5_K. @param importance an f32 for each column, or 0 for none. */
export function quantize_q5_k(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  eachSuperBlock(source, target, rows, rowLength, importance, 176, encodeQ5K)
}

function encodeQ5K(source: usize, target: usize, weights: usize): void {
  encodeAffine(source, target, weights, 32, 31, 63, 2, byEffort(2, 3, 5), byEffort<f32>(-0.5, -0.7, -0.9), byEffort<f32>(0.7, 0.7, 0.42))
  packScales(target + 4)
  packBits(target + 16, 4)
  packNibbles(codes, target + 48, 256, 32)
}

function packScales(to: usize): void {
  for (let j: usize = 0; j < 4; j++) {
    const s = <u32>load<f32>(scaleCodes + 4 * j), m = <u32>load<f32>(minimumCodes + 4 * j)
    const s4 = <u32>load<f32>(scaleCodes + 4 * j, 16), m4 = <u32>load<f32>(minimumCodes + 4 * j, 16)
    store<u8>(to + j, s | ((s4 >> 4) << 6))
    store<u8>(to + j, m | ((m4 >> 4) << 6), 4)
    store<u8>(to + j, (s4 & 15) | ((m4 & 15) << 4), 8)
  }
}
