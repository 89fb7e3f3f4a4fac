/** Input covariance H of a weight matrix, the mean of x x^T over its inputs x, or an approximation of it. */
export type Covariance =
  | {
      /** H = diagonal + factors^T factors: n values, and k rows of n. Without factors only the diagonal is known. */
      readonly diagonal: Float32Array | Float64Array
      readonly factors?: Float32Array | Float64Array
    }
  | {
      /** H itself, n x n, row-major and symmetric. */
      readonly full: Float64Array
    }
