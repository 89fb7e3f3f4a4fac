import type { Covariance } from './covariance.js'

/** A covariance prepared for computing output errors, as data for any thread. */
export interface OutputForm {
  /** Columns of the weights, n. */
  readonly columns: number
  /** Identity: forms of one name must be equal, since a codec keeps the last one in the kernels' memory. */
  readonly name?: string
  /** Whether the rows are H itself, or factors beside its diagonal. */
  readonly whole: boolean
  /** n values; of no use where `whole`. */
  readonly diagonal: Float32Array
  /** Rows of n values as the product kernel takes them, as many as `depth`: [depth / 8][n][8]. */
  readonly panels: Float32Array
  /** A multiple of 8. */
  readonly depth: number
}

/**
 * Lays a covariance out for `Codec.outputError`.
 * @param allocate memory for the panels, for instance such as threads share.
 * @throws RangeError where n is not a multiple of 8.
 */
export function prepareOutputs(
  covariance: Covariance,
  allocate: (length: number) => Float32Array = (length) => new Float32Array(length),
): OutputForm {
  const whole = 'full' in covariance
  const rows = whole ? covariance.full : (covariance.factors ?? new Float32Array())
  const columns = whole ? Math.round(Math.sqrt(rows.length)) : covariance.diagonal.length
  if (columns % 8 !== 0) throw new RangeError(`${columns} columns are not a multiple of 8`)
  const count = rows.length / columns
  const depth = 8 * Math.ceil(count / 8)
  const panels = allocate(depth * columns)
  for (let row = 0; row < count; row++) {
    const panel = (row - (row % 8)) * columns + (row % 8)
    for (let column = 0; column < columns; column++) panels[panel + 8 * column] = rows[row * columns + column] as number
  }
  return { columns, whole, diagonal: whole ? new Float32Array() : Float32Array.from(covariance.diagonal), panels, depth }
}

/**
 * e H e^T for some rows e, from the products of the rows with the form's.
 * @param products one for each row and each of the form's rows.
 */
export function sumOutputs(
  errors: Float32Array,
  products: Float32Array,
  { columns, whole, diagonal, depth }: OutputForm,
): number {
  let total = 0
  for (let row = 0; row * columns < errors.length; row++) {
    const [e, y] = [errors.subarray(row * columns, (row + 1) * columns), products.subarray(row * depth, (row + 1) * depth)]
    if (whole) {
      for (let i = 0; i < columns; i++) total += (e[i] as number) * (y[i] as number)
    } else {
      for (let i = 0; i < columns; i++) total += (diagonal[i] as number) * (e[i] as number) ** 2
      for (let k = 0; k < depth; k++) total += (y[k] as number) ** 2
    }
  }
  return total
}
