// Encoders of IQ1_S and IQ1_M. Source of the layouts: ggml-common.h; dequantize-codebook.ts describes them.
import { encodeTernary, pointOf, scaleOf, shiftOf } from './ternary-encode'
import { pointsOfIq1 } from './codebooks'
import { numberPoints } from './cheapest-changes'
import { eachSuperBlock } from './super-blocks'

/** Quantizes rows of f32 to blocks of IQ1_S. @param importance an f32 for each column, or 0 for none. */
export function quantize_iq1_s(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  numberPoints(pointsOfIq1, 2048)
  eachSuperBlock(source, target, rows, rowLength, importance, 50, encodeIq1S)
}

function encodeIq1S(source: usize, target: usize, weights: usize): void {
  const d = encodeTernary(source, weights, 32, true)
  if (d == 0) memory.fill(target, 0, 50)
  else packIq1S(target, d)
}

/** Packs the codes of a super-block in the layout of IQ1_S. @param d bits of its scale, a half. */
export function packIq1S(to: usize, d: u32): void {
  store<u16>(to, d)
  for (let run: usize = 0; run < 8; run++) {
    let rest = (scaleOf(run) << 12) | (shiftOf(4 * run) << 15)
    for (let i: usize = 0; i < 4; i++) {
      const point = pointOf(4 * run + i)
      store<u8>(to + 4 * run + i, point, 2)
      rest |= (point >> 8) << (3 * <u32>i)
    }
    store<u16>(to + 2 * run, rest, 34)
  }
}

/** Quantizes rows of f32 to blocks of IQ1_M. @param importance an f32 for each column, or 0 for none. */
export function quantize_iq1_m(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  numberPoints(pointsOfIq1, 2048)
  eachSuperBlock(source, target, rows, rowLength, importance, 56, encodeIq1M)
}

function encodeIq1M(source: usize, target: usize, weights: usize): void {
  const d = encodeTernary(source, weights, 16, false)
  if (d == 0) memory.fill(target, 0, 56)
  else packIq1M(target, d)
}

/** Packs the codes of a super-block in the layout of IQ1_M. @param d bits of its scale, a half. */
export function packIq1M(to: usize, d: u32): void {
  for (let run: usize = 0; run < 16; run++) {
    const first = pointOf(2 * run), second = pointOf(2 * run + 1)
    store<u8>(to + 2 * run, first)
    store<u8>(to + 2 * run, second, 1)
    const low = (first >> 8) | (shiftOf(2 * run) << 3)
    const high = (second >> 8) | (shiftOf(2 * run + 1) << 3)
    store<u8>(to + run, low | (high << 4), 32)
  }
  for (let word: usize = 0; word < 4; word++) {
    let packed = ((d >> (4 * <u32>word)) & 15) << 12
    for (let i: usize = 0; i < 4; i++) packed |= scaleOf(4 * word + i) << (3 * <u32>i)
    store<u16>(to + 2 * word, packed, 48)
  }
}
