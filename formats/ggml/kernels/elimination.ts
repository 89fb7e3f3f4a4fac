// H = M D M^T of a symmetric matrix, in double precision: the columns are eliminated from the last to the first. Four at a time, since memory
// and not the multiplier sets the pace; every entry loses its shares one after the other, so that the bits are those of one at a time.

/** Bytes of an entry. */
const size: usize = 8

/**
 * Replaces the lower half of H by that of M^T: row j has column j of M below its diagonal. Entries above the diagonal are left as they are.
 * @param matrix H, n rows of n. @param n a multiple of 4. @param least of the entries of D, n of which are written to `curvatures`.
 */
export function eliminate(matrix: usize, n: i32, least: f64, curvatures: usize): void {
  const rowBytes = <usize>n * size
  for (let low = n - 4; low >= 0; low -= 4) {
    for (let j = low + 3; j >= low; j--) {
      const row = matrix + <usize>j * rowBytes
      f64.store(curvatures + <usize>j * size, max(f64.load(row + <usize>j * size), least))
      for (let i = j - 1; i >= low; i--) subtract(matrix, rowBytes, curvatures, j, i)
    }
    const r0 = matrix + <usize>(low + 3) * rowBytes
    const r1 = r0 - rowBytes
    const r2 = r1 - rowBytes
    const r3 = r2 - rowBytes
    const at = curvatures + <usize>low * size
    for (let i = 0; i < low; i++) {
      const offset = <usize>i * size
      const s0 = f64.load(r0 + offset) / f64.load(at, 24)
      const s1 = f64.load(r1 + offset) / f64.load(at, 16)
      const s2 = f64.load(r2 + offset) / f64.load(at, 8)
      const s3 = f64.load(r3 + offset) / f64.load(at)
      if (s0 == 0 || s1 == 0 || s2 == 0 || s3 == 0) {
        for (let j = low + 3; j >= low; j--) subtract(matrix, rowBytes, curvatures, j, i)
      } else {
        subtractFour(matrix + <usize>i * rowBytes, offset, r0, r1, r2, r3, s0, s1, s2, s3)
      }
    }
    for (let j = low + 3; j >= low; j--) {
      const row = matrix + <usize>j * rowBytes
      const curvature = f64.load(curvatures + <usize>j * size)
      for (let to = row; to < row + <usize>j * size; to += size) f64.store(to, f64.load(to) / curvature)
    }
  }
}

/** Takes the share of column j from row i, up to its diagonal. */
function subtract(matrix: usize, rowBytes: usize, curvatures: usize, j: i32, i: i32): void {
  let from = matrix + <usize>j * rowBytes
  const share = f64.load(from + <usize>i * size) / f64.load(curvatures + <usize>j * size)
  if (share == 0) return
  let to = matrix + <usize>i * rowBytes
  const last = to + <usize>i * size
  const shares = f64x2.splat(share)
  for (; to < last; to += 16) {
    v128.store(to, f64x2.sub(v128.load(to), f64x2.mul(shares, v128.load(from))))
    from += 16
  }
  if (to == last) f64.store(to, f64.load(to) - share * f64.load(from))
}

/** The same of four columns. @param offset of the diagonal in the row. */
function subtractFour(row: usize, offset: usize, r0: usize, r1: usize, r2: usize, r3: usize, s0: f64, s1: f64, s2: f64, s3: f64): void {
  const x0 = f64x2.splat(s0)
  const x1 = f64x2.splat(s1)
  const x2 = f64x2.splat(s2)
  const x3 = f64x2.splat(s3)
  const last = row + offset
  for (; row < last; row += 16) {
    let rest = f64x2.sub(v128.load(row), f64x2.mul(x0, v128.load(r0)))
    rest = f64x2.sub(rest, f64x2.mul(x1, v128.load(r1)))
    rest = f64x2.sub(rest, f64x2.mul(x2, v128.load(r2)))
    v128.store(row, f64x2.sub(rest, f64x2.mul(x3, v128.load(r3))))
    r0 += 16
    r1 += 16
    r2 += 16
    r3 += 16
  }
  if (row == last) f64.store(row, f64.load(row) - s0 * f64.load(r0) - s1 * f64.load(r1) - s2 * f64.load(r2) - s3 * f64.load(r3))
}

/**
 * The same of H = diagonal + V V^T: see LowRankElimination in ../elimination.ts. P is kept with its columns as rows, so that the sums of
 * several products run side by side, each in its order.
 * @param v, g n rows of `depth`, a multiple of 4. @param diagonal, curvatures n values. @param work depth * depth + depth values.
 */
export function eliminate_low_rank(
  v: usize, g: usize, diagonal: usize, curvatures: usize, n: i32, depth: i32, work: usize,
): void {
  const rowBytes = <usize>depth * size
  const p = work + rowBytes
  memory.fill(p, 0, rowBytes * <usize>depth)
  for (let at: usize = 0; at < rowBytes; at += size) f64.store(p + at * <usize>depth + at, 1)
  for (let j = n - 1; j >= 0; j--) {
    const vj = v + <usize>j * rowBytes
    const gj = g + <usize>j * rowBytes
    for (let k: usize = 0; k < rowBytes; k += 32) productOfFour(p + k, vj, work + k, rowBytes)
    let sum: f64 = 0
    for (let k: usize = 0; k < rowBytes; k += size) sum += f64.load(vj + k) * f64.load(work + k)
    const curvature = f64.load(diagonal + <usize>j * size) + sum
    f64.store(curvatures + <usize>j * size, curvature)
    const all = f64x2.splat(curvature)
    for (let k: usize = 0; k < rowBytes; k += 16) v128.store(gj + k, f64x2.div(v128.load(work + k), all))
    let row = p
    for (let l: usize = 0; l < rowBytes; l += size) {
      const ul = v128.load64_splat(work + l)
      for (let k: usize = 0; k < rowBytes; k += 32) {
        v128.store(row + k, f64x2.sub(v128.load(row + k), f64x2.mul(v128.load(gj + k), ul)))
        v128.store(row + k, f64x2.sub(v128.load(row + k, 16), f64x2.mul(v128.load(gj + k, 16), ul)), 16)
      }
      row += rowBytes
    }
  }
}

/** Four sums over l of p[l] v[l]. @param p the first of four columns, which rows follow one another by `rowBytes`. */
function productOfFour(p: usize, v: usize, target: usize, rowBytes: usize): void {
  let a = f64x2.splat(0)
  let b = f64x2.splat(0)
  const end = v + rowBytes
  for (; v < end; v += size) {
    const factor = v128.load64_splat(v)
    a = f64x2.add(a, f64x2.mul(v128.load(p), factor))
    b = f64x2.add(b, f64x2.mul(v128.load(p, 16), factor))
    p += rowBytes
  }
  v128.store(target, a)
  v128.store(target, b, 16)
}
