/** Sums of w (x - y)^2 over rows of values and what became of them. */
export interface WeightedErrors {
  /** w = importance. */
  readonly plain: number
  /** w = importance * sqrt(sigma2 + x^2), sigma2 = sigmaFactor * mean x^2 of 256 values: what ggml's encoders minimise. */
  readonly conventional: number
}

/** Errors of a quantization; `sigmaFactor` as in ggml-quants.c (1 for IQ2_XXS and IQ2_XS, otherwise 2). */
export function weightedErrors(
  values: Float32Array,
  approximations: Float32Array,
  importance: Float32Array,
  sigmaFactor: number,
): WeightedErrors {
  let plain = 0
  let conventional = 0
  for (let block = 0; block < values.length; block += 256) {
    let squares = 0
    for (const x of values.subarray(block, block + 256)) squares += x * x
    const sigma2 = (sigmaFactor * squares) / 256
    for (let i = block; i < block + 256; i++) {
      const x = values[i] ?? Number.NaN
      const error = (importance[i % importance.length] ?? Number.NaN) * (x - (approximations[i] ?? Number.NaN)) ** 2
      plain += error
      conventional += error * Math.sqrt(sigma2 + x * x)
    }
  }
  return { plain, conventional }
}
