/** C = A B^T of row-major A (rows x depth) and B (columns x depth), in blocks of 4 x 4 that stay in registers. */
export function multiply(a: Float64Array, b: Float64Array, rows: number, columns: number, depth: number): Float64Array {
  if (rows % 4 !== 0 || columns % 4 !== 0) throw new RangeError(`${rows} x ${columns} is not in blocks of 4 x 4`)
  const c = new Float64Array(rows * columns)
  for (let row = 0; row < rows; row += 4) {
    for (let column = 0; column < columns; column += 4) block(a, b, c, row, column, columns, depth)
  }
  return c
}

/** The transpose of a row-major matrix. */
export function transpose(a: Float64Array, rows: number, columns: number): Float64Array {
  const b = new Float64Array(a.length)
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) b[j * rows + i] = a[i * columns + j] as number
  return b
}

function block(
  a: Float64Array,
  b: Float64Array,
  c: Float64Array,
  row: number,
  column: number,
  columns: number,
  depth: number,
): void {
  const [a0, a1, a2, a3] = [row * depth, (row + 1) * depth, (row + 2) * depth, (row + 3) * depth]
  const [b0, b1, b2, b3] = [column * depth, (column + 1) * depth, (column + 2) * depth, (column + 3) * depth]
  let [c00, c01, c02, c03, c10, c11, c12, c13] = [0, 0, 0, 0, 0, 0, 0, 0]
  let [c20, c21, c22, c23, c30, c31, c32, c33] = [0, 0, 0, 0, 0, 0, 0, 0]
  for (let k = 0; k < depth; k++) {
    const x0 = a[a0 + k] as number
    const x1 = a[a1 + k] as number
    const x2 = a[a2 + k] as number
    const x3 = a[a3 + k] as number
    const y0 = b[b0 + k] as number
    const y1 = b[b1 + k] as number
    const y2 = b[b2 + k] as number
    const y3 = b[b3 + k] as number
    c00 += x0 * y0
    c01 += x0 * y1
    c02 += x0 * y2
    c03 += x0 * y3
    c10 += x1 * y0
    c11 += x1 * y1
    c12 += x1 * y2
    c13 += x1 * y3
    c20 += x2 * y0
    c21 += x2 * y1
    c22 += x2 * y2
    c23 += x2 * y3
    c30 += x3 * y0
    c31 += x3 * y1
    c32 += x3 * y2
    c33 += x3 * y3
  }
  c.set([c00, c01, c02, c03], row * columns + column)
  c.set([c10, c11, c12, c13], (row + 1) * columns + column)
  c.set([c20, c21, c22, c23], (row + 2) * columns + column)
  c.set([c30, c31, c32, c33], (row + 3) * columns + column)
}
