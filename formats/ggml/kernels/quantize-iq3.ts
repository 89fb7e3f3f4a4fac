// Encoders of IQ3_XXS and IQ3_S. Source of the layouts: ggml-common.h; dequantize-codebook.ts describes them.
import { pointsOfIq3S, pointsOfIq3Xxs } from './codebooks'
import { pointOf, scaleOf, signsOf } from './codebook-block'
import { levelsOfIq3S, levelsOfIq3Xxs } from './codebook-levels'
import { NEAR, encodeCodebook } from './codebook-encode'
import { byEffort } from './effort'
import { listPoints } from './near-points'
import { nearLists } from './scratch'
import { eachSuperBlock } from './super-blocks'

let listedXxs: bool = false

/** Quantizes rows of f32 to blocks of IQ3_XXS. @param importance an f32 for each column, or 0 for none. */
export function quantize_iq3_xxs(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  if (!listedXxs) listPoints(nearLists(0), levelsOfIq3Xxs, pointsOfIq3Xxs, 256)
  listedXxs = true
  eachSuperBlock(source, target, rows, rowLength, importance, 98, encodeIq3Xxs)
}

function encodeIq3Xxs(source: usize, target: usize, weights: usize): void {
  const d = encodeCodebook(
    source, weights, NEAR, 32, levelsOfIq3Xxs, pointsOfIq3Xxs, 256, nearLists(0), byEffort(8, 16, 32), true, 2,
    byEffort(1, 3, 5), 0.12, byEffort(2, 2, 3), byEffort(1, 1, 3),
  )
  if (d == 0) memory.fill(target, 0, 98)
  else packIq3Xxs(target, d)
}

/** Packs the codes of a super-block in the layout of IQ3_XXS. @param d bits of its scale, a half. */
export function packIq3Xxs(to: usize, d: u32): void {
  store<u16>(to, d)
  for (let group: usize = 0; group < 64; group++) store<u8>(to + group, pointOf(group), 2)
  for (let run: usize = 0; run < 8; run++) {
    let rest = scaleOf(run) << 28
    for (let i: usize = 0; i < 4; i++) rest |= (signsOf(4 * run + i, 32) & 127) << (7 * <u32>i)
    store<u32>(to + 4 * run, rest, 66)
  }
}

let listedS: bool = false

/** Quantizes rows of f32 to blocks of IQ3_S. @param importance an f32 for each column, or 0 for none. */
export function quantize_iq3_s(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  if (!listedS) listPoints(nearLists(1), levelsOfIq3S, pointsOfIq3S, 512)
  listedS = true
  eachSuperBlock(source, target, rows, rowLength, importance, 110, encodeIq3S)
}

function encodeIq3S(source: usize, target: usize, weights: usize): void {
  const d = encodeCodebook(
    source, weights, NEAR, 32, levelsOfIq3S, pointsOfIq3S, 512, nearLists(1), byEffort(8, 16, 32), false, 2,
    byEffort(1, 1, 5), 0.12, byEffort(1, 2, 3), byEffort(1, 1, 3),
  )
  if (d == 0) memory.fill(target, 0, 110)
  else packIq3S(target, d)
}

/** Packs the codes of a super-block in the layout of IQ3_S. @param d bits of its scale, a half. */
export function packIq3S(to: usize, d: u32): void {
  store<u16>(to, d)
  for (let run: usize = 0; run < 8; run++) {
    let upper: u32 = 0
    for (let i: usize = 0; i < 8; i++) {
      const point = pointOf(8 * run + i)
      store<u8>(to + 8 * run + i, point, 2)
      upper |= (point >> 8) << <u32>i
    }
    store<u8>(to + run, upper, 66)
    for (let i: usize = 0; i < 4; i++) store<u8>(to + 4 * run + i, signsOf(4 * run + i, 32), 74)
  }
  for (let i: usize = 0; i < 4; i++) store<u8>(to + i, scaleOf(2 * i) | (scaleOf(2 * i + 1) << 4), 106)
}
