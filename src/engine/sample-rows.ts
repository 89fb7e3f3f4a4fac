/**
 * Samples at most `maxRows` rows, evenly spaced; the same rows each time.
 * @param rows row-major, `columns` values each.
 * @param target allocates memory for the copies; by default new memory.
 * @returns the rows themselves where there are no more, else copies.
 */
export function sampleRows(
  rows: Float32Array,
  columns: number,
  maxRows: number,
  target: (length: number) => Float32Array = (length) => new Float32Array(length),
): Float32Array {
  const count = rows.length / columns
  if (count <= maxRows) return rows
  const some = target(maxRows * columns)
  for (let row = 0; row < maxRows; row++) {
    const from = Math.floor(((row + 0.5) * count) / maxRows) * columns
    some.set(rows.subarray(from, from + columns), row * columns)
  }
  return some
}
