/** Sums over values and what was stored in their place; they add up over ranges of rows. */
export interface ErrorSums {
  /** Values summed over. */
  readonly count: number
  /** Sum of w (x - x')^2. */
  readonly squaredError: number
  /** Sum of w x^2. */
  readonly squaredNorm: number
  /** Sum of w x'^2. */
  readonly storedNorm: number
  /** Sum of w x x'. */
  readonly dotProduct: number
  /** Largest |x - x'|, whatever its weight. */
  readonly maxError: number
}

export const noErrorSums: ErrorSums = {
  count: 0,
  squaredError: 0,
  squaredNorm: 0,
  storedNorm: 0,
  dotProduct: 0,
  maxError: 0,
}

/** The sums of two ranges together. Floating-point addition: add in a fixed order where the result is to be the same each time. */
export function addErrorSums(a: ErrorSums, b: ErrorSums): ErrorSums {
  return {
    count: a.count + b.count,
    squaredError: a.squaredError + b.squaredError,
    squaredNorm: a.squaredNorm + b.squaredNorm,
    storedNorm: a.storedNorm + b.storedNorm,
    dotProduct: a.dotProduct + b.dotProduct,
    maxError: Math.max(a.maxError, b.maxError),
  }
}

/**
 * Compares values with what was stored in their place, in double precision.
 * @param importance one weight w for each column of rows; without it every value counts the same.
 */
export function errorSums(values: Float32Array, stored: Float32Array, importance?: Float32Array): ErrorSums {
  return importance === undefined ? plainSums(values, stored) : weightedSums(values, stored, importance)
}

// storedNorm follows from the other sums: x' = x - e, so x'^2 = 2 x x' - x^2 + e^2.

function plainSums(values: Float32Array, stored: Float32Array): ErrorSums {
  let squaredError = 0
  let squaredNorm = 0
  let dotProduct = 0
  let maxError = 0
  for (let i = 0; i < values.length; i++) {
    const x = values[i] as number
    const y = stored[i] as number
    const error = Math.abs(x - y)
    squaredError += error * error
    squaredNorm += x * x
    dotProduct += x * y
    if (error > maxError) maxError = error
  }
  return withStoredNorm(values.length, squaredError, squaredNorm, dotProduct, maxError)
}

function weightedSums(values: Float32Array, stored: Float32Array, importance: Float32Array): ErrorSums {
  const columns = importance.length
  let squaredError = 0
  let squaredNorm = 0
  let dotProduct = 0
  let maxError = 0
  for (let row = 0; row < values.length; row += columns) {
    for (let column = 0; column < columns; column++) {
      const weight = importance[column] as number
      const x = values[row + column] as number
      const y = stored[row + column] as number
      const error = Math.abs(x - y)
      squaredError += weight * error * error
      squaredNorm += weight * x * x
      dotProduct += weight * x * y
      if (error > maxError) maxError = error
    }
  }
  return withStoredNorm(values.length, squaredError, squaredNorm, dotProduct, maxError)
}

function withStoredNorm(
  count: number,
  squaredError: number,
  squaredNorm: number,
  dotProduct: number,
  maxError: number,
): ErrorSums {
  const storedNorm = Math.max(0, 2 * dotProduct - squaredNorm + squaredError)
  return { count, squaredError, squaredNorm, storedNorm, dotProduct, maxError }
}
