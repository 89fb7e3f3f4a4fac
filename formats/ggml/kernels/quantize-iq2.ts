// Encoders of IQ2_XXS, IQ2_XS and IQ2_S. Source of the layouts: ggml-common.h; dequantize-codebook.ts describes them.
import { numberPoints } from './cheapest-changes'
import { pointsOfIq2S, pointsOfIq2Xs, pointsOfIq2Xxs } from './codebooks'
import { pointOf, scaleOf, signsOf } from './codebook-block'
import { levelsOfIq2 } from './codebook-levels'
import { ALL, CHANGES, encodeCodebook } from './codebook-encode'
import { byEffort } from './effort'
import { eachSuperBlock } from './super-blocks'

/** Quantizes rows of f32 to blocks of IQ2_XXS. @param importance an f32 for each column, or 0 for none. */
export function quantize_iq2_xxs(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  eachSuperBlock(source, target, rows, rowLength, importance, 66, encodeIq2Xxs)
}

function encodeIq2Xxs(source: usize, target: usize, weights: usize): void {
  const d = encodeCodebook(
    source, weights, ALL, 32, levelsOfIq2, pointsOfIq2Xxs, 256, 0, 0, true, 1, byEffort(1, 1, 2), 0, byEffort(1, 2, 4), byEffort(1, 1, 4),
  )
  if (d == 0) memory.fill(target, 0, 66)
  else packIq2Xxs(target, d)
}

/** Packs the codes of a super-block in the layout of IQ2_XXS. @param d bits of its scale, a half. */
export function packIq2Xxs(to: usize, d: u32): void {
  store<u16>(to, d)
  for (let run: usize = 0; run < 8; run++) {
    const at = to + 2 + 8 * run
    let rest = scaleOf(run) << 28
    for (let group: usize = 0; group < 4; group++) {
      store<u8>(at + group, pointOf(4 * run + group))
      rest |= (signsOf(4 * run + group, 32) & 127) << (7 * <u32>group)
    }
    store<u32>(at, rest, 4)
  }
}

/** Quantizes rows of f32 to blocks of IQ2_XS. @param importance an f32 for each column, or 0 for none. */
export function quantize_iq2_xs(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  eachSuperBlock(source, target, rows, rowLength, importance, 74, encodeIq2Xs)
}

function encodeIq2Xs(source: usize, target: usize, weights: usize): void {
  const d = encodeCodebook(
    source, weights, ALL, 16, levelsOfIq2, pointsOfIq2Xs, 512, 0, 0, true, 1, byEffort(1, 1, 2), 0, byEffort(1, 2, 4), byEffort(1, 1, 3),
  )
  if (d == 0) memory.fill(target, 0, 74)
  else packIq2Xs(target, d)
}

/** Packs the codes of a super-block in the layout of IQ2_XS. @param d bits of its scale, a half. */
export function packIq2Xs(to: usize, d: u32): void {
  store<u16>(to, d)
  for (let group: usize = 0; group < 32; group++) {
    store<u16>(to + 2 * group, pointOf(group) | ((signsOf(group, 16) & 127) << 9), 2)
  }
  packScales(to + 66)
}

/** Quantizes rows of f32 to blocks of IQ2_S. @param importance an f32 for each column, or 0 for none. */
export function quantize_iq2_s(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  numberPoints(pointsOfIq2S, 1024)
  eachSuperBlock(source, target, rows, rowLength, importance, 82, encodeIq2S)
}

function encodeIq2S(source: usize, target: usize, weights: usize): void {
  const d = encodeCodebook(
    source, weights, CHANGES, 16, levelsOfIq2, pointsOfIq2S, 1024, 0, 0, false, 2, byEffort(1, 1, 3), 0.12, byEffort(2, 3, 4), byEffort(1, 1, 3),
  )
  if (d == 0) memory.fill(target, 0, 82)
  else packIq2S(target, d)
}

/** Packs the codes of a super-block in the layout of IQ2_S. @param d bits of its scale, a half. */
export function packIq2S(to: usize, d: u32): void {
  store<u16>(to, d)
  for (let part: usize = 0; part < 8; part++) {
    let upper: u32 = 0
    for (let i: usize = 0; i < 4; i++) {
      const group: usize = 4 * part + i, point = pointOf(group)
      store<u8>(to + 2 + group, point)
      store<u8>(to + 34 + group, signsOf(group, 16))
      upper |= (point >> 8) << (2 * <u32>i)
    }
    store<u8>(to + 66 + part, upper)
  }
  packScales(to + 74)
}

/** Sixteen scales of four bits, the first in the low half of its byte. */
function packScales(to: usize): void {
  for (let i: usize = 0; i < 8; i++) store<u8>(to + i, scaleOf(2 * i) | (scaleOf(2 * i + 1) << 4))
}
