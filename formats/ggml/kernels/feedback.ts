// Error feedback: chooses the codes of rows of weights again, column by column, so that what one column loses the columns still to come
// make up for, as far as the inputs of the two go together. The rule is GPTQ's (Frantar et al. 2022), in the form of LDLQ (Chee et al.
// 2023): H, the damped covariance of the inputs, is M D M^T, M unit upper triangular in the order of processing; column j aims at
// a_j = w_j + sum over i < j of e_i M_ij, where e_i = w_i - stored_i; and the output error is the sum of D_j (a_j - stored_j)^2.
//
// The columns of one scale are a group of 16 or 32. A group is tried with scales and minimums around those of the block that is there,
// and keeps what leaves the least error. Sixteen rows run in the lanes of four vectors.
//
// Tables, one after another for each group of n columns, in the order of processing:
//   n i32                   the columns
//   n/4 * depth * 4 f32     how the state enters the aims: [columns / 4][depth][4]
//   n * n f32               M within the group: those of the columns i < j from n * j on
//   n f32                   D
//   depth/4 * n * 4 f32     how errors enter the state: [depth / 4][n][4]; not where the factor is exact
// Low rank: H = diagonal + V^T V and M_ij = v_i . g_j; the state is the sum of e_i v_i, as deep as V has rows, a multiple of 4.
// Exact: the state is the errors themselves, as deep as there are columns before the group.

import { aims, errors, layOut, lineOf, loadTile, state, tileRows } from './feedback-memory'
import { add, mul } from './lanes'

/**
 * Chooses codes, scales and minimums of all rows.
 * @param source, target the rows, and their blocks, which are read and overwritten.
 * @param depth of the state; 0 where the factor is exact.
 * @param reach how far to search scales, see feedback-group.ts and feedback-run.ts.
 * @param work working memory, feedback_memory(...) bytes.
 * @param n columns of a group. @param choose does what chooseGroup does.
 * @param length, bytes values and bytes of a block.
 * @param read, write bring scales and minimums of block `index` of a row to row `row` of the working memory, and back with the codes.
 */
export function feedback(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
  n: usize, choose: (columns: usize, within: usize, curvatures: usize, into: usize, reach: i32) => void, length: usize, bytes: usize,
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
  let known: usize = exact ? 0 : depth
  let into: usize = exact ? state : errors
  if (!exact) memory.fill(state, 0, 64 * depth)
  let columns = tables
  for (let done: usize = 0; done < rowLength; done += n) {
    const entering = columns + 4 * n
    const within = entering + 4 * n * known
    const curvatures = within + 4 * n * n
    const leaving = curvatures + 4 * n
    for (let j: usize = 0; j < n; j += 4) {
      const c = columns + 4 * j
      const in0 = lineOf(load<u32>(c))
      const in1 = lineOf(load<u32>(c, 4))
      const in2 = lineOf(load<u32>(c, 8))
      const in3 = lineOf(load<u32>(c, 12))
      accumulate(known, entering + 4 * known * j, state, in0, in1, in2, in3, aims + 64 * j)
    }
    choose(columns, within, curvatures, into, reach)
    if (exact) {
      known += n
      into += 64 * n
      columns = leaving
    } else {
      for (let k: usize = 0; k < depth; k += 4) {
        const line = state + 64 * k
        accumulate(n, leaving + 4 * n * k, errors, line, line + 64, line + 128, line + 192, line)
      }
      columns = leaving + 4 * n * depth
    }
  }
}

/** Four lines out = four lines in + the sum of `depth` lines of x, times factors [depth][4]. */
function accumulate(
  depth: usize, factors: usize, x: usize, in0: usize, in1: usize, in2: usize, in3: usize, out: usize,
): void {
  for (let half: usize = 0; half < 64; half += 32) {
    let a0 = v128.load(in0 + half)
    let b0 = v128.load(in0 + half, 16)
    let a1 = v128.load(in1 + half)
    let b1 = v128.load(in1 + half, 16)
    let a2 = v128.load(in2 + half)
    let b2 = v128.load(in2 + half, 16)
    let a3 = v128.load(in3 + half)
    let b3 = v128.load(in3 + half, 16)
    let line = x + half
    const end = factors + 16 * depth
    for (let f = factors; f < end; f += 16) {
      const a = v128.load(line)
      const b = v128.load(line, 16)
      const f0 = v128.load32_splat(f)
      a0 = add(a0, mul(a, f0))
      b0 = add(b0, mul(b, f0))
      const f1 = v128.load32_splat(f, 4)
      a1 = add(a1, mul(a, f1))
      b1 = add(b1, mul(b, f1))
      const f2 = v128.load32_splat(f, 8)
      a2 = add(a2, mul(a, f2))
      b2 = add(b2, mul(b, f2))
      const f3 = v128.load32_splat(f, 12)
      a3 = add(a3, mul(a, f3))
      b3 = add(b3, mul(b, f3))
      line += 64
    }
    const to = out + half
    v128.store(to, a0)
    v128.store(to, b0, 16)
    v128.store(to, a1, 64)
    v128.store(to, b1, 80)
    v128.store(to, a2, 128)
    v128.store(to, b2, 144)
    v128.store(to, a3, 192)
    v128.store(to, b3, 208)
  }
}
