import type { Covariance } from '../../formats/ggml/covariance.js'

/** The covariance of inputs whose columns were divided by powers of two. @param exponents one for each column. */
export function scaleCovariance(covariance: Covariance, exponents: ArrayLike<number>): Covariance {
  const factors = Float64Array.from(exponents, (exponent) => 2 ** -exponent)
  const factorOf = (column: number): number => factors[column] as number
  const columns = factors.length
  if ('full' in covariance) {
    return {
      full: Float64Array.from(
        covariance.full,
        (value, at) => value * factorOf(Math.floor(at / columns)) * factorOf(at % columns),
      ),
    }
  }
  const { diagonal, factors: directions } = covariance
  return {
    diagonal: Float64Array.from(diagonal, (value, column) => value * factorOf(column) ** 2),
    ...(directions && { factors: Float64Array.from(directions, (value, at) => value * factorOf(at % columns)) }),
  }
}
