// Working memory of error feedback (see feedback.ts): sixteen rows, column by column. A line is 64 bytes, one f32 for each row.
//
//   weights   a line for each column
//   state     a line for each of its components, i32; not where the factor is exact
//   pairs     the state as pairs of i16: a line for two components, or where the factor is exact for the errors of two columns
//   lost      16 lines: the errors of the group at hand as pairs of i16
//   ulps      two lines: what an error is counted in, and its inverse
//   aims      32 lines: what the columns of the group at hand should become
//   errors    32 lines: weights less what is stored for them
//   trials    32 lines: the same of what is being tried
//   records   two lines for each group: scale and minimum as they are stored; halves by their value
//   units     two lines for each super-block: what its scales and its minimums are multiples of
//   codes     16 bytes for each column, from 0 upwards; or two lines for each eight columns, see feedback-run.ts

import { codes as blockCodes } from './lanes'

/** Rows that run together. */
export const tileRows: usize = 16

export let weights: usize = 0
export let state: usize = 0
export let pairs: usize = 0
export let lost: usize = 0
export let ulps: usize = 0
export let aims: usize = 0
export let errors: usize = 0
export let trials: usize = 0
export let records: usize = 0
export let units: usize = 0
export let codes: usize = 0

/** Bytes of working memory for rows of a length and a state of a depth (the row's length where the factor is exact). */
export function feedback_memory(rowLength: i32, depth: i32): usize {
  return layOut(0, <usize>rowLength, <usize>depth)
}

/** Lays out the working memory; returns its end. */
export function layOut(work: usize, rowLength: usize, depth: usize): usize {
  weights = work
  state = weights + 64 * rowLength
  pairs = state + 64 * depth
  lost = pairs + 32 * depth
  ulps = lost + 64 * 16
  aims = ulps + 64 * 2
  errors = aims + 64 * 32
  trials = errors + 64 * 32
  records = trials + 64 * 32
  units = records + 128 * (rowLength >> 4)
  codes = units + 128 * (rowLength >> 8)
  return codes + 16 * rowLength
}

/** Sets scale and minimum of a group, counted from the left of the row. */
// @ts-ignore: decorator
@inline
export function setRecord(group: usize, row: usize, scale: f32, minimum: f32): void {
  const at = recordOf(group, row)
  store<f32>(at, scale)
  store<f32>(at, minimum, 64)
}

/** Sets what the scales and the minimums of a super-block are multiples of. */
// @ts-ignore: decorator
@inline
export function setUnit(superBlock: usize, row: usize, scale: f32, minimum: f32): void {
  const at = unitOf(superBlock, row)
  store<f32>(at, scale)
  store<f32>(at, minimum, 64)
}

/** The scale of a group. */
// @ts-ignore: decorator
@inline
export function scaleOf(group: usize, row: usize): f32 {
  return load<f32>(recordOf(group, row))
}

/** The minimum of a group. */
// @ts-ignore: decorator
@inline
export function minimumOf(group: usize, row: usize): f32 {
  return load<f32>(recordOf(group, row), 64)
}

/** Where a row of the tile has its scale of a group, counted from the left; 64 bytes further lies its minimum. */
// @ts-ignore: decorator
@inline
export function recordOf(group: usize, row: usize): usize {
  return records + 128 * group + 4 * row
}

/** Where a row of the tile has the unit of a super-block's scales; 64 bytes further lies that of its minimums. */
// @ts-ignore: decorator
@inline
export function unitOf(superBlock: usize, row: usize): usize {
  return units + 128 * superBlock + 4 * row
}

/** The line of a column's weights. */
// @ts-ignore: decorator
@inline
export function lineOf(column: u32): usize {
  return weights + 64 * <usize>column
}

/** Brings sixteen rows into `weights`; those that are missing are copies of the last. */
export function loadTile(source: usize, rows: usize, rowLength: usize): void {
  const last = rows - 1
  for (let r: usize = 0; r < tileRows; r += 4) {
    const a = source + 4 * rowLength * min(r, last)
    const b = source + 4 * rowLength * min(r + 1, last)
    const c = source + 4 * rowLength * min(r + 2, last)
    const d = source + 4 * rowLength * min(r + 3, last)
    let to = weights + 4 * r
    for (let i: usize = 0; i < 4 * rowLength; i += 16) {
      const ra = v128.load(a + i)
      const rb = v128.load(b + i)
      const rc = v128.load(c + i)
      const rd = v128.load(d + i)
      const ab01 = v128.shuffle<f32>(ra, rb, 0, 4, 1, 5)
      const ab23 = v128.shuffle<f32>(ra, rb, 2, 6, 3, 7)
      const cd01 = v128.shuffle<f32>(rc, rd, 0, 4, 1, 5)
      const cd23 = v128.shuffle<f32>(rc, rd, 2, 6, 3, 7)
      v128.store(to, v128.shuffle<f32>(ab01, cd01, 0, 1, 4, 5))
      v128.store(to, v128.shuffle<f32>(ab01, cd01, 2, 3, 6, 7), 64)
      v128.store(to, v128.shuffle<f32>(ab23, cd23, 0, 1, 4, 5), 128)
      v128.store(to, v128.shuffle<f32>(ab23, cd23, 2, 3, 6, 7), 192)
      to += 256
    }
  }
}

/** Brings `count` codes of one row, from a column on, to the packers' `codes`. */
export function gatherCodes(column: usize, row: usize, count: usize): void {
  const from = codes + 16 * column + row
  for (let i: usize = 0; i < count; i += 4) {
    const at = from + 16 * i
    const four = <u32>load<u8>(at) | (<u32>load<u8>(at, 16) << 8) | (<u32>load<u8>(at, 32) << 16) | (<u32>load<u8>(at, 48) << 24)
    store<u32>(blockCodes + i, four)
  }
}
