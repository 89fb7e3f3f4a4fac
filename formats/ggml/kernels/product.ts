// Products of f32 matrices, for sums over activations. Columns of the result run in lanes, and every sum goes through the depth in
// order, so that no machine rounds otherwise.

/**
 * Lays B, [depth][columns], out for `product`: panels of eight columns, [columns / 8][depth][8].
 * @param stride bytes from one row of B to the next. @param columns a multiple of 8.
 */
export function product_pack(b: usize, stride: usize, target: usize, columns: i32, depth: i32): void {
  for (let column = 0; column < columns; column += 8) {
    let from = b + (<usize>column << 2)
    for (let at = 0; at < depth; at++) {
      v128.store(target, v128.load(from, 0), 0)
      v128.store(target, v128.load(from, 16), 16)
      from += stride
      target += 32
    }
  }
}

/**
 * C = A^T B, [rows][columns].
 * @param a entry (at, row) lies at a + at * depthStride + row * rowStride, in bytes.
 * @param packed B as product_pack lays it out. @param rows a multiple of 4. @param columns a multiple of 8.
 * @param upper not 0: only panels that reach above the diagonal are computed, and the rest of C is left as it is.
 * @param work 16 * depth bytes.
 */
export function product(
  a: usize,
  depthStride: usize,
  rowStride: usize,
  packed: usize,
  c: usize,
  rows: i32,
  columns: i32,
  depth: i32,
  upper: i32,
  work: usize,
): void {
  const panelBytes = <usize>depth << 5
  for (let row = 0; row < rows; row += 4) {
    gather(a + <usize>row * rowStride, depthStride, rowStride, work, depth)
    const first = upper != 0 ? row & ~7 : 0
    let panel = packed + (<usize>first >> 3) * panelBytes
    for (let column = first; column < columns; column += 8) {
      tile(work, panel, c + ((<usize>row * <usize>columns + <usize>column) << 2), <usize>columns << 2, depth)
      panel += panelBytes
    }
  }
}

/** Four rows of A^T side by side. */
function gather(from: usize, depthStride: usize, rowStride: usize, work: usize, depth: i32): void {
  for (let at = 0; at < depth; at++) {
    let four = v128.load_zero<f32>(from)
    four = v128.load_lane<f32>(from + rowStride, four, 1)
    four = v128.load_lane<f32>(from + 2 * rowStride, four, 2)
    four = v128.load_lane<f32>(from + 3 * rowStride, four, 3)
    v128.store(work, four)
    from += depthStride
    work += 16
  }
}

// @ts-ignore: decorator
@inline
function tile(a: usize, b: usize, c: usize, stride: usize, depth: i32): void {
  let c00 = f32x4.splat(0)
  let c01 = c00
  let c10 = c00
  let c11 = c00
  let c20 = c00
  let c21 = c00
  let c30 = c00
  let c31 = c00
  for (let at = 0; at < depth; at++) {
    const b0 = v128.load(b, 0)
    const b1 = v128.load(b, 16)
    let x = v128.load32_splat(a, 0)
    c00 = f32x4.add(c00, f32x4.mul(x, b0))
    c01 = f32x4.add(c01, f32x4.mul(x, b1))
    x = v128.load32_splat(a, 4)
    c10 = f32x4.add(c10, f32x4.mul(x, b0))
    c11 = f32x4.add(c11, f32x4.mul(x, b1))
    x = v128.load32_splat(a, 8)
    c20 = f32x4.add(c20, f32x4.mul(x, b0))
    c21 = f32x4.add(c21, f32x4.mul(x, b1))
    x = v128.load32_splat(a, 12)
    c30 = f32x4.add(c30, f32x4.mul(x, b0))
    c31 = f32x4.add(c31, f32x4.mul(x, b1))
    a += 16
    b += 32
  }
  v128.store(c, c00, 0)
  v128.store(c, c01, 16)
  c += stride
  v128.store(c, c10, 0)
  v128.store(c, c11, 16)
  c += stride
  v128.store(c, c20, 0)
  v128.store(c, c21, 16)
  c += stride
  v128.store(c, c30, 0)
  v128.store(c, c31, 16)
}
