// Products of matrices in double precision. Columns of the result run in lanes, and every sum goes through the depth in order, so that the
// bits are those of one entry after the other.

/** Bytes of an entry. */
const size: usize = 8

/**
 * Adds A^T B to C, [rows][columns].
 * @param a [depth][rows]. @param b [depth][columns]. @param rows, columns multiples of 4.
 * @param half not 0: only tiles that reach to the diagonal or above are computed, and the rest of C is left as it is.
 */
export function double_product(a: usize, b: usize, c: usize, rows: i32, columns: i32, depth: i32, half: i32): void {
  for (let row = 0; row < rows; row += 4) {
    for (let column = half != 0 ? row : 0; column < columns; column += 4) {
      tile(
        a + <usize>row * size,
        <usize>rows * size,
        b + <usize>column * size,
        <usize>columns * size,
        c + (<usize>row * <usize>columns + <usize>column) * size,
        depth,
      )
    }
  }
}

// @ts-ignore: decorator
@inline
function tile(a: usize, aStride: usize, b: usize, bStride: usize, c: usize, depth: i32): void {
  const c1 = c + bStride
  const c2 = c1 + bStride
  const c3 = c2 + bStride
  let c00 = v128.load(c, 0)
  let c01 = v128.load(c, 16)
  let c10 = v128.load(c1, 0)
  let c11 = v128.load(c1, 16)
  let c20 = v128.load(c2, 0)
  let c21 = v128.load(c2, 16)
  let c30 = v128.load(c3, 0)
  let c31 = v128.load(c3, 16)
  for (let at = 0; at < depth; at++) {
    const b0 = v128.load(b, 0)
    const b1 = v128.load(b, 16)
    let x = v128.load64_splat(a, 0)
    c00 = f64x2.add(c00, f64x2.mul(x, b0))
    c01 = f64x2.add(c01, f64x2.mul(x, b1))
    x = v128.load64_splat(a, 8)
    c10 = f64x2.add(c10, f64x2.mul(x, b0))
    c11 = f64x2.add(c11, f64x2.mul(x, b1))
    x = v128.load64_splat(a, 16)
    c20 = f64x2.add(c20, f64x2.mul(x, b0))
    c21 = f64x2.add(c21, f64x2.mul(x, b1))
    x = v128.load64_splat(a, 24)
    c30 = f64x2.add(c30, f64x2.mul(x, b0))
    c31 = f64x2.add(c31, f64x2.mul(x, b1))
    a += aStride
    b += bStride
  }
  v128.store(c, c00, 0)
  v128.store(c, c01, 16)
  v128.store(c1, c10, 0)
  v128.store(c1, c11, 16)
  v128.store(c2, c20, 0)
  v128.store(c2, c21, 16)
  v128.store(c3, c30, 0)
  v128.store(c3, c31, 16)
}
