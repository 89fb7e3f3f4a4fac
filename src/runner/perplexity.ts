import type { WithProgress } from '../progress/index.js'
import type { PerplexityResult, PerplexityStep } from './protocol.js'

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

/** Shows the steps of a measurement as progress in chunks, and sums it up. */
export async function* collectPerplexity(
  steps: AsyncGenerator<PerplexityStep, PerplexityResult, void>,
  contextLength: number,
): WithProgress<Perplexity> {
  return summarize(yield* inChunks(steps), contextLength)
}

/** Shows the steps of a measurement as progress in chunks. */
export async function* inChunks<Result>(
  steps: AsyncGenerator<PerplexityStep, Result, void>,
  stage = 'perplexity',
): WithProgress<Result> {
  try {
    for (;;) {
      const step = await steps.next()
      if (step.done === true) return step.value
      yield { stage, done: step.value.chunksDone, total: step.value.chunks, unit: 'chunks' }
    }
  } finally {
    // leaving early cancels the measurement
    await steps.return(undefined as never)
  }
}

/** Source: the end of perplexity() in tools/perplexity/perplexity.cpp of llama.cpp. */
function summarize(result: PerplexityResult, contextLength: number): Perplexity {
  const values = result.negativeLogLikelihoods
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
  const perplexity = Math.exp(mean)
  const standardError = perplexity * Math.sqrt(variance / (values.length - 1))
  return { ...result, perplexity, standardError, scoredTokens: values.length, contextLength }
}
