/**
 * At most so many rows, spread evenly over all there are: the same ones each time.
 * @param rows row-major, `columns` values each.
 * @returns the rows themselves where they are few enough, else copies.
 */
export function spreadRows(rows: Float32Array, columns: number, most: number): Float32Array {
  const count = rows.length / columns
  if (count <= most) return rows
  const some = new Float32Array(most * columns)
  for (let row = 0; row < most; row++) {
    const from = Math.floor(((row + 0.5) * count) / most) * columns
    some.set(rows.subarray(from, from + columns), row * columns)
  }
  return some
}
