// Error feedback: chooses the codes of rows of weights again, column by column, so that what one column loses the columns still to come
// make up for, as far as the inputs of the two go together. The rule is GPTQ's (Frantar et al. 2022), in the form of LDLQ (Chee et al.
// 2023): H, the damped covariance of the inputs, is M D M^T, M unit upper triangular in the order of processing; column j aims at
// a_j = w_j + sum over i < j of e_i M_ij, where e_i = w_i - stored_i; and the output error is the sum of D_j (a_j - stored_j)^2.
//
// The columns of one scale are a group of 16 or 32. A group is tried with scales and minimums around those of the block that is there,
// and keeps what leaves the least error. Sixteen rows run in the lanes of four vectors.
//
// What one group owes another is summed in integers: products of 16 bits into sums of 32, two in the place of one f32. An error is counted
// in ulps, 512ths of the row's greatest step, and none is more than 4095 of them. Factors are scaled so that no sum can overflow.
//
// Tables, one after another for each group of n columns, in the order of processing:
//   n i32                     the columns
//   n f32                     what a unit of the sums is worth, in ulps
//   n/4 * depth/2 * 8 i16     how the state enters the aims: [columns / 4][depth / 2][4][2]
//   n * n f32                 M within the group: those of the columns i < j from n * j on
//   n f32                     D
//   depth/4 * n/2 * 8 i16     how errors enter the state, in 1024ths: [depth / 4][n / 2][4][2]; not where the factor is exact
// Low rank: H = diagonal + V^T V and M_ij = v_i . g_j; the state is the sum of e_i v_i, as deep as V has rows, a multiple of 4.
// Exact: the state is the errors themselves, as deep as there are columns before the group.

import { aims, errors, layOut, lineOf, loadTile, lost, pairs, state, tileRows, ulps } from './feedback-memory'
import { add, clamp, invert, most, mul, rounder, splat } from './lanes'

/**
 * Chooses codes, scales and minimums of all rows.
 * @param source, target the rows, and their blocks, which are read and overwritten.
 * @param depth of the state; 0 where the factor is exact.
 * @param reach how far to search scales, see feedback-group.ts and feedback-run.ts.
 * @param work working memory, feedback_memory(...) bytes.
 * @param n columns of a group. @param choose does what chooseGroup does, @param stepOf what stepOfGroup does.
 * @param length, bytes values and bytes of a block.
 * @param read, write bring scales and minimums of block `index` of a row to row `row` of the working memory, and back with the codes.
 */
export function feedback(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
  n: usize, choose: (columns: usize, within: usize, curvatures: usize, into: usize, reach: i32) => void,
  stepOf: (group: usize, r: usize) => v128, length: usize, bytes: usize,
  read: (block: usize, index: usize, row: usize) => void, write: (block: usize, index: usize, row: usize) => void,
): void {
  const columns = <usize>rowLength
  const blocks = columns / length
  layOut(work, columns, depth == 0 ? columns : <usize>depth)
  for (let first: usize = 0; first < <usize>rows; first += tileRows) {
    const count = min(tileRows, <usize>rows - first)
    loadTile(source + 4 * columns * first, count, columns)
    for (let row: usize = 0; row < tileRows; row++) {
      const from = target + bytes * blocks * (first + min(row, count - 1))
      for (let index: usize = 0; index < blocks; index++) read(from + bytes * index, index, row)
    }
    for (let r: usize = 0; r < 64; r += 16) {
      let step = splat(0)
      for (let group: usize = 0; group < columns / n; group++) step = most(step, f32x4.abs(stepOf(group, r)))
      v128.store(ulps + r, mul(step, splat(1 / 512)))
      v128.store(ulps + r, invert(mul(step, splat(1 / 512))), 64)
    }
    chooseTile(columns, tables, <usize>depth, reach, n, choose)
    for (let row: usize = 0; row < count; row++) {
      const to = target + bytes * blocks * (first + row)
      for (let index: usize = 0; index < blocks; index++) write(to + bytes * index, index, row)
    }
  }
}

/** Chooses codes, scales and minimums of the rows in the working memory. */
function chooseTile(
  rowLength: usize, tables: usize, depth: usize, reach: i32,
  n: usize, choose: (columns: usize, within: usize, curvatures: usize, into: usize, reach: i32) => void,
): void {
  const exact = depth == 0
  let known = depth
  if (!exact) {
    memory.fill(state, 0, 64 * depth)
    memory.fill(pairs, 0, 32 * depth)
  }
  let columns = tables
  for (let done: usize = 0; done < rowLength; done += n) {
    const units = columns + 4 * n
    const entering = units + 4 * n
    const within = entering + 2 * n * known
    const curvatures = within + 4 * n * n
    const leaving = curvatures + 4 * n
    for (let j: usize = 0; j < n; j += 4) {
      aimFour(known >> 1, entering + 2 * known * j, columns + 4 * j, units + 4 * j, aims + 64 * j)
    }
    choose(columns, within, curvatures, errors, reach)
    if (exact) {
      countErrors(n, pairs + 32 * known)
      known += n
      columns = leaving
    } else {
      countErrors(n, lost)
      for (let k: usize = 0; k < depth; k += 4) {
        addToFour(n >> 1, leaving + 2 * n * k, state + 64 * k, pairs + 32 * k)
      }
      columns = leaving + 2 * n * depth
    }
  }
}

/** Writes the errors of n columns as pairs of whole ulps. */
// @ts-ignore: decorator
@inline
function countErrors(n: usize, to: usize): void {
  for (let from = errors; from < errors + 64 * n; from += 128) {
    for (let r: usize = 0; r < 64; r += 16) {
      const inverse = v128.load(ulps + r, 64)
      const a = clamp(mul(v128.load(from + r), inverse), splat(-4095), splat(4095))
      const b = clamp(mul(v128.load(from + r, 64), inverse), splat(-4095), splat(4095))
      v128.store(to + r, pairUp(add(a, splat(rounder)), add(b, splat(rounder))))
    }
    to += 64
  }
}

/** The low halves of the lanes of two vectors, side by side. */
// @ts-ignore: decorator
@inline
function pairUp(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
}

/**
 * Writes what four columns aim at: their weights and what they owe to the state.
 * @param count, factors lines of pairs in the state, and what they are multiplied by: [count][4][2].
 * @param columns, units their numbers, and what their sums are worth.
 */
function aimFour(count: usize, factors: usize, columns: usize, units: usize, to: usize): void {
  for (let r: usize = 0; r < 64; r += 32) {
    sumProducts(count, factors, pairs + r, 0)
    const u0 = v128.load(ulps + r), u1 = v128.load(ulps + r, 16)
    for (let i: usize = 0; i < 4; i++) {
      const line = lineOf(load<u32>(columns + 4 * i)) + r, unit = v128.load32_splat(units + 4 * i), out = to + 64 * i + r
      const x0 = f32x4.convert_i32x4_s(v128.load(sums + 32 * i)), x1 = f32x4.convert_i32x4_s(v128.load(sums + 32 * i, 16))
      v128.store(out, add(v128.load(line), mul(x0, mul(u0, unit))))
      v128.store(out, add(v128.load(line, 16), mul(x1, mul(u1, unit))), 16)
    }
  }
}

/** Adds what the errors of a group amount to to four components of the state; writes those as pairs too. */
function addToFour(count: usize, factors: usize, to: usize, pair: usize): void {
  for (let r: usize = 0; r < 64; r += 32) {
    // Rounded, for what is cut off would add up. In 1024ths, so that no row is long enough for the state to overflow.
    sumProducts(count, factors, lost + r, 512)
    for (let i: usize = 0; i < 64; i += 16) {
      const at = to + r + (i & 16) + 4 * (i & 32), sum = sums + (i & 16) + 2 * (i & 32)
      const a = i32x4.add(v128.load(at), i32x4.shr_s(v128.load(sum), 10))
      const b = i32x4.add(v128.load(at, 64), i32x4.shr_s(v128.load(sum, 32), 10))
      v128.store(at, a)
      v128.store(at, b, 64)
      const both = i16x8.narrow_i32x4_s(a, b)
      const out = pair + r + (i & 16) + 2 * (i & 32)
      v128.store(out, i8x16.shuffle(both, both, 0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15))
    }
  }
}

/** Eight vectors: the sums of four lines for eight rows. */
const sums: usize = memory.data(128, 16)

/** Leaves in `sums`, for eight rows, `start` and the products of `count` lines of pairs with factors [count][4][2]. */
// @ts-ignore: decorator
@inline
function sumProducts(count: usize, factors: usize, x: usize, start: i32): void {
  let a0 = i32x4.splat(start)
  let b0 = a0
  let a1 = a0
  let b1 = a0
  let a2 = a0
  let b2 = a0
  let a3 = a0
  let b3 = a0
  const end = factors + 16 * count
  for (let f = factors; f < end; f += 16) {
    const a = v128.load(x)
    const b = v128.load(x, 16)
    const f0 = v128.load32_splat(f)
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(a, f0))
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(b, f0))
    const f1 = v128.load32_splat(f, 4)
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(a, f1))
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(b, f1))
    const f2 = v128.load32_splat(f, 8)
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(a, f2))
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(b, f2))
    const f3 = v128.load32_splat(f, 12)
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(a, f3))
    b3 = i32x4.add(b3, i32x4.dot_i16x8_s(b, f3))
    x += 64
  }
  v128.store(sums, a0)
  v128.store(sums, b0, 16)
  v128.store(sums, a1, 32)
  v128.store(sums, b1, 48)
  v128.store(sums, a2, 64)
  v128.store(sums, b2, 80)
  v128.store(sums, a3, 96)
  v128.store(sums, b3, 112)
}
