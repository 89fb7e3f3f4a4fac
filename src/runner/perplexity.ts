import type { WithProgress } from '../progress.js'
import type { PerplexityStep } from './protocol.js'

/** Perplexity of a text under a model. */
export interface Perplexity {
  /** exp of the mean of the negative log likelihoods. */
  readonly perplexity: number
  /** perplexity * sqrt(variance / (n - 1)), the variance taken over n. */
  readonly standardError: number
  /** Tokens that were scored: the second half of each chunk, but one. */
  readonly scoredTokens: number
  readonly chunks: number
  readonly contextLength: number
  /** Tokens of the whole text. */
  readonly tokens: number
  /** -ln p of each scored token, in the order of the text: what two models are compared by. */
  readonly negativeLogLikelihoods: Float64Array
}

/** Puts the steps of a measurement together, as progress in chunks. */
export async function* collectPerplexity(
  steps: AsyncGenerator<PerplexityStep, { readonly tokens: number }, void>,
  contextLength: number,
): WithProgress<Perplexity> {
  const parts: Float64Array[] = []
  let chunks = 0
  try {
    for (;;) {
      const step = await steps.next()
      if (step.done === true) return { ...summarize(parts), chunks, contextLength, tokens: step.value.tokens }
      parts.push(step.value.negativeLogLikelihoods)
      chunks = step.value.chunksDone
      yield { stage: 'perplexity', done: chunks, total: step.value.chunks, unit: 'chunks' }
    }
  } finally {
    await steps.return({ tokens: 0 })
  }
}

/** Source: the end of perplexity() in tools/perplexity/perplexity.cpp of llama.cpp. */
function summarize(
  parts: readonly Float64Array[],
): Pick<Perplexity, 'perplexity' | 'standardError' | 'scoredTokens' | 'negativeLogLikelihoods'> {
  const values = new Float64Array(parts.reduce((count, part) => count + part.length, 0))
  let offset = 0
  for (const part of parts) {
    values.set(part, offset)
    offset += part.length
  }
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
  const perplexity = Math.exp(mean)
  const standardError = perplexity * Math.sqrt(variance / (values.length - 1))
  return { perplexity, standardError, scoredTokens: values.length, negativeLogLikelihoods: values }
}
