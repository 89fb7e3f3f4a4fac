/** Sums over values x and what was stored in their place, x'; they add up over ranges of rows. w is a column's importance, or 1. */
export interface ErrorSums {
  /** Values summed over. */
  readonly count: number
  /** Sum of (x - x')^2. */
  readonly squaredError: number
  /** Sum of x^2. */
  readonly squaredNorm: number
  /** Sum of x'^2. */
  readonly storedNorm: number
  /** Sum of x x'. */
  readonly dotProduct: number
  /** Largest |x - x'|, whatever its weight. */
  readonly maxError: number
  /** Sum of w (x - x')^2. */
  readonly weightedError: number
  /** Sum of w x^2. */
  readonly weightedNorm: number
  /** Clipped values: see clippedCount. */
  readonly clipped: number
  /** Sum over rows e of x - x' of e H e^T, H the covariance of the inputs; 0 where that is not known. May be over fewer rows than the rest. */
  readonly outputError: number
  /** The same of the rows of x. */
  readonly outputNorm: number
}

/** Sums of outputs where no input covariance is known. */
export const noOutputs = { outputError: 0, outputNorm: 0 }

/** Sums of no values. */
export const noErrorSums: ErrorSums = {
  count: 0,
  squaredError: 0,
  squaredNorm: 0,
  storedNorm: 0,
  dotProduct: 0,
  maxError: 0,
  weightedError: 0,
  weightedNorm: 0,
  clipped: 0,
  ...noOutputs,
}

const names = Object.keys(noErrorSums) as (keyof ErrorSums)[]

/** How many numbers listOfSums gives. */
export const sumsLength = names.length

/** The sums as a list, for a file. */
export function listOfSums(sums: ErrorSums): number[] {
  return names.map((name) => sums[name])
}

/** The sums that a list stands for. */
export function sumsOfList(list: readonly number[]): ErrorSums {
  return Object.fromEntries(names.map((name, index) => [name, list[index] ?? 0])) as unknown as ErrorSums
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
    weightedError: a.weightedError + b.weightedError,
    weightedNorm: a.weightedNorm + b.weightedNorm,
    clipped: a.clipped + b.clipped,
    outputError: a.outputError + b.outputError,
    outputNorm: a.outputNorm + b.outputNorm,
  }
}

/**
 * Compares values with what was stored in their place, in double precision.
 * @param importance one weight w for each column of rows; without it every value counts the same.
 */
export function errorSums(values: Float32Array, stored: Float32Array, importance?: Float32Array): ErrorSums {
  const plain = plainSums(values, stored)
  if (importance === undefined) {
    return { ...plain, weightedError: plain.squaredError, weightedNorm: plain.squaredNorm, clipped: 0, ...noOutputs }
  }
  return { ...plain, ...weightedSums(values, stored, importance), clipped: 0, ...noOutputs }
}

function plainSums(
  values: Float32Array,
  stored: Float32Array,
): Pick<ErrorSums, 'count' | 'squaredError' | 'squaredNorm' | 'storedNorm' | 'dotProduct' | 'maxError'> {
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
  // x' = x - e, so x'^2 = 2 x x' - x^2 + e^2.
  const storedNorm = Math.max(0, 2 * dotProduct - squaredNorm + squaredError)
  return { count: values.length, squaredError, squaredNorm, storedNorm, dotProduct, maxError }
}

function weightedSums(
  values: Float32Array,
  stored: Float32Array,
  importance: Float32Array,
): Pick<ErrorSums, 'weightedError' | 'weightedNorm'> {
  const columns = importance.length
  let weightedError = 0
  let weightedNorm = 0
  for (let row = 0; row < values.length; row += columns) {
    for (let column = 0; column < columns; column++) {
      const weight = importance[column] as number
      const x = values[row + column] as number
      const error = x - (stored[row + column] as number)
      weightedError += weight * error * error
      weightedNorm += weight * x * x
    }
  }
  return { weightedError, weightedNorm }
}

/** Values that share a scale in most types. */
const groupSize = 32

/**
 * Counts clipped values: outside of the range that is stored for their group of 32, by more than half of the quantization step between the
 * group's extremes. Rounding alone leaves no value that far out; a scale that is too small does.
 * @param bitsPerWeight of the type; its whole part is taken for the bits of a code.
 */
export function clippedCount(values: Float32Array, stored: Float32Array, bitsPerWeight: number): number {
  const steps = 2 ** Math.floor(bitsPerWeight) - 1
  let clipped = 0
  for (let start = 0; start < values.length; start += groupSize) {
    const end = Math.min(values.length, start + groupSize)
    let low = stored[start] as number
    let high = low
    for (let i = start + 1; i < end; i++) {
      const y = stored[i] as number
      if (y < low) low = y
      if (y > high) high = y
    }
    const margin = (high - low) / steps / 2
    for (let i = start; i < end; i++) {
      const x = values[i] as number
      if (x > high + margin || x < low - margin) clipped += 1
    }
  }
  return clipped
}
