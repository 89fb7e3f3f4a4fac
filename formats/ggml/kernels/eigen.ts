// The two slow parts of the eigenvalues of a symmetric matrix, in double precision: what ../linear-algebra.ts does without kernels, with the
// same bits. Sums are kept apart in lanes and go through their terms in order.

/** Bytes of an entry. */
const size: usize = 8

/**
 * Householder's reflections: A = V^T T V.
 * @param a A^T, [n][n], which is overwritten. @param vectors V by rows, the identity before. @param diagonal, beside n values of T.
 * @param work 2 * n values.
 */
export function tridiagonalize(a: usize, vectors: usize, diagonal: usize, beside: usize, n: i32, work: usize): void {
  const rowBytes = <usize>n * size
  const u = work
  const p = work + rowBytes
  for (let k = 0; k < n - 1; k++) {
    const from = <usize>(k + 1) * size
    const column = a + <usize>k * rowBytes
    let squares: f64 = 0
    for (let at = from; at < rowBytes; at += size) {
      const value = f64.load(column + at)
      f64.store(u + at, value)
      squares += value * value
    }
    const first = f64.load(u + from)
    const length = first > 0 ? -Math.sqrt(squares) : Math.sqrt(squares)
    f64.store(beside + <usize>k * size, length)
    const half = squares - first * length
    if (half == 0) continue
    f64.store(u + from, first - length)
    memory.fill(p, 0, rowBytes)
    for (let at = from; at < rowBytes; at += size) addTimes(p, a + at * <usize>n, f64.load(u + at), from, rowBytes)
    let dot: f64 = 0
    for (let at = from; at < rowBytes; at += size) {
      const value = f64.load(p + at) / half
      f64.store(p + at, value)
      dot += value * f64.load(u + at)
    }
    const share = dot / (2 * half)
    for (let at = from; at < rowBytes; at += size) f64.store(p + at, f64.load(p + at) - share * f64.load(u + at))
    for (let at = from; at < rowBytes; at += size) {
      subtractBoth(a + at * <usize>n, u, f64.load(p + at), p, f64.load(u + at), from, rowBytes)
    }
    memory.fill(p, 0, rowBytes)
    for (let at = from; at < rowBytes; at += size) addTimes(p, vectors + at * <usize>n, f64.load(u + at) / half, 0, rowBytes)
    for (let at = from; at < rowBytes; at += size) subtractTimes(vectors + at * <usize>n, p, f64.load(u + at), rowBytes)
  }
  for (let at: usize = 0; at < rowBytes; at += size) f64.store(diagonal + at, f64.load(a + at * <usize>n + at))
}

/** to += factor * row, from byte `from` on. */
function addTimes(to: usize, row: usize, factor: f64, from: usize, end: usize): void {
  const factors = f64x2.splat(factor)
  let at = from
  for (; at + 16 <= end; at += 16) v128.store(to + at, f64x2.add(v128.load(to + at), f64x2.mul(factors, v128.load(row + at))))
  if (at < end) f64.store(to + at, f64.load(to + at) + factor * f64.load(row + at))
}

/** to -= factor * row. */
function subtractTimes(to: usize, row: usize, factor: f64, end: usize): void {
  const factors = f64x2.splat(factor)
  let at: usize = 0
  for (; at + 16 <= end; at += 16) v128.store(to + at, f64x2.sub(v128.load(to + at), f64x2.mul(factors, v128.load(row + at))))
  if (at < end) f64.store(to + at, f64.load(to + at) - factor * f64.load(row + at))
}

/** to -= x * xs, then y * ys, from byte `from` on. */
function subtractBoth(to: usize, xs: usize, x: f64, ys: usize, y: f64, from: usize, end: usize): void {
  const x2 = f64x2.splat(x)
  const y2 = f64x2.splat(y)
  let at = from
  for (; at + 16 <= end; at += 16) {
    const rest = f64x2.sub(v128.load(to + at), f64x2.mul(x2, v128.load(xs + at)))
    v128.store(to + at, f64x2.sub(rest, f64x2.mul(y2, v128.load(ys + at))))
  }
  if (at < end) f64.store(to + at, f64.load(to + at) - x * f64.load(xs + at) - y * f64.load(ys + at))
}

/**
 * Turns pairs of rows, one rotation after the other.
 * @param vectors [n][n]. @param rotations three values of each: the upper row i of i and i + 1, the sine, the cosine.
 */
export function rotate_rows(vectors: usize, n: i32, rotations: usize, count: i32): void {
  const rowBytes = <usize>n * size
  const end = rotations + 24 * <usize>count
  let column: usize = 0
  for (; column + 16 <= rowBytes; column += 16) {
    for (let at = rotations; at < end; at += 24) {
      const upper = vectors + <usize>f64.load(at) * rowBytes + column
      const lower = upper + rowBytes
      const s = v128.load64_splat(at, 8)
      const c = v128.load64_splat(at, 16)
      const x = v128.load(lower)
      const y = v128.load(upper)
      v128.store(lower, f64x2.add(f64x2.mul(s, y), f64x2.mul(c, x)))
      v128.store(upper, f64x2.sub(f64x2.mul(c, y), f64x2.mul(s, x)))
    }
  }
  if (column == rowBytes) return
  for (let at = rotations; at < end; at += 24) {
    const upper = vectors + <usize>f64.load(at) * rowBytes + column
    const lower = upper + rowBytes
    const s = f64.load(at, 8)
    const c = f64.load(at, 16)
    const x = f64.load(lower)
    const y = f64.load(upper)
    f64.store(lower, s * y + c * x)
    f64.store(upper, c * y - s * x)
  }
}
