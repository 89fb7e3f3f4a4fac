/** A figure with its standard error. */
export interface Estimate {
  readonly value: number
  readonly standardError: number
}

/**
 * Perplexity from the negative log likelihoods (natural logarithm) of the scored tokens: exp(mean) with the standard error that
 * llama-perplexity prints, PPL * sqrt(variance / (n - 1)).
 * Source: tools/perplexity/perplexity.cpp of llama.cpp.
 */
export function perplexityOf(negativeLogLikelihoods: ArrayLike<number>): Estimate {
  const { mean, standardErrorOfMean } = moments(
    negativeLogLikelihoods.length,
    (index) => negativeLogLikelihoods[index] ?? Number.NaN,
  )
  const value = Math.exp(mean)
  return { value, standardError: value * standardErrorOfMean }
}

/**
 * The ratio of two perplexities over the same tokens, with the standard error of the paired differences: the two runs err on the same
 * tokens, so their ratio is known far better than either of them.
 * @throws RangeError where the two have not scored equally many tokens.
 */
export function perplexityRatio(model: ArrayLike<number>, reference: ArrayLike<number>): Estimate {
  if (model.length !== reference.length) throw new RangeError(`${model.length} scored tokens against ${reference.length}`)
  const { mean, standardErrorOfMean } = moments(
    model.length,
    (index) => (model[index] ?? Number.NaN) - (reference[index] ?? Number.NaN),
  )
  const value = Math.exp(mean)
  return { value, standardError: value * standardErrorOfMean }
}

/** Mean and standard error of the mean. */
export interface Moments {
  readonly mean: number
  readonly standardErrorOfMean: number
}

/** Of `count` figures, each as `at` gives it. */
export function moments(count: number, at: (index: number) => number): Moments {
  let sum = 0
  for (let index = 0; index < count; index += 1) sum += at(index)
  const mean = sum / count
  let squares = 0
  for (let index = 0; index < count; index += 1) squares += (at(index) - mean) ** 2
  // the variance is taken over n and the error over n - 1, as llama-perplexity does
  return { mean, standardErrorOfMean: Math.sqrt(squares / count / (count - 1)) }
}
