/**
 * At most so many rows, spread evenly over all there are: the same ones each time.
 * @param rows row-major, `columns` values each.
 * @param target where copies go; by default new memory.
 * @returns the rows themselves where they are few enough, else copies.
 */
export function spreadRows(
  rows: Float32Array,
  columns: number,
  most: number,
  target: (length: number) => Float32Array = (length) => new Float32Array(length),
): Float32Array {
  const count = rows.length / columns
  if (count <= most) return rows
  const some = target(most * columns)
  for (let row = 0; row < most; row++) {
    const from = Math.floor(((row + 0.5) * count) / most) * columns
    some.set(rows.subarray(from, from + columns), row * columns)
  }
  return some
}
