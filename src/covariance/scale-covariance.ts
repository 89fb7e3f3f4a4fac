import type { Covariance } from '../../formats/ggml/covariance.js'

/** The covariance of inputs whose columns were divided by powers of two. @param exponents one for each column. */
export function scaleCovariance(covariance: Covariance, exponents: ArrayLike<number>): Covariance {
  const factors = Float64Array.from(exponents, (exponent) => 2 ** -exponent)
  const factorOf = (column: number): number => factors[column] as number
  const columns = factors.length
  if ('full' in covariance) {
    const full = new Float64Array(columns * columns)
    for (let row = 0, at = 0; row < columns; row += 1) {
      for (let column = 0; column < columns; column += 1, at += 1) {
        full[at] = (covariance.full[at] as number) * factorOf(row) * factorOf(column)
      }
    }
    return { full }
  }
  const { diagonal, factors: directions } = covariance
  return {
    diagonal: Float64Array.from(diagonal, (value, column) => value * factorOf(column) ** 2),
    ...(directions && { factors: Float64Array.from(directions, (value, at) => value * factorOf(at % columns)) }),
  }
}
