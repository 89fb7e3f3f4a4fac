import type { Covariance } from '../../formats/ggml/covariance.js'

/**
 * The covariance of the inputs of a widened model: columns are moved to their new positions, with zeros between them.
 * @param runs `[from, to, count, ...]`: see the recipe operation `place`.
 * @param columns of the result.
 */
export function placeCovariance(covariance: Covariance, runs: readonly number[], columns: number): Covariance {
  if ('full' in covariance) {
    const size = Math.sqrt(covariance.full.length)
    const rows = placeRows(covariance.full, size, runs, columns)
    const full = new Float64Array(columns * columns)
    for (let at = 0; at < runs.length; at += 3) {
      const [from, to, count] = [runs[at] as number, runs[at + 1] as number, runs[at + 2] as number]
      full.set(rows.subarray(from * columns, (from + count) * columns), to * columns)
    }
    return { full }
  }
  const { diagonal, factors } = covariance
  const size = diagonal.length
  return {
    diagonal: placeRows(diagonal, size, runs, columns),
    ...(factors && { factors: placeRows(factors, size, runs, columns) }),
  }
}

/** Rows of `size` values, with their columns at other places among zeros. */
export function placeRows<Values extends Float32Array | Float64Array>(
  values: Values,
  size: number,
  runs: readonly number[],
  columns: number,
): Values {
  const rows = values.length / size
  const placed = new (values.constructor as new (length: number) => Values)(rows * columns)
  for (let row = 0; row < rows; row++) {
    for (let at = 0; at < runs.length; at += 3) {
      const [from, to, count] = [runs[at] as number, runs[at + 1] as number, runs[at + 2] as number]
      placed.set(values.subarray(row * size + from, row * size + from + count), row * columns + to)
    }
  }
  return placed
}
