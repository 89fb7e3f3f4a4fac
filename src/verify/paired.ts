import type { LogitsComparison } from '../runner/index.js'
import { type Estimate, moments } from './statistics.js'
import { studentConfidence } from './student.js'

/** How two models compare on the same chunks of a text. */
export interface PairedDifference {
  /** Mean divergence of the first less that of the second: below 0, the first is nearer to the reference. */
  readonly kld: Estimate
  /** The same for the mean of -ln p of the text: ln of the ratio of their perplexities. */
  readonly logPerplexity: Estimate
  /** How sure it is, 0 to 1, that the divergences differ in this direction: two-sided, by Student's t over the chunks. */
  readonly confidence: number
}

/**
 * Compares two models that were held against the same base logits. Chunks are the units, not tokens: those of one chunk share its context
 * and err together, and would make the difference seem surer than it is.
 * @throws RangeError where the two have not scored equally many tokens.
 */
export function pairedDifference(first: LogitsComparison, second: LogitsComparison): PairedDifference {
  const kld = ofChunks(first.divergences, second.divergences, first.chunks)
  return {
    kld,
    logPerplexity: ofChunks(first.negativeLogLikelihoods, second.negativeLogLikelihoods, first.chunks),
    confidence: confidenceOf(kld, first.chunks),
  }
}

/** The mean of first - second over chunks, and how sure its sign is: see PairedDifference. */
export function differenceOfChunks(
  first: readonly number[],
  second: readonly number[],
): Estimate & { readonly confidence: number } {
  const difference = ofChunks(first, second, first.length)
  return { ...difference, confidence: confidenceOf(difference, first.length) }
}

function confidenceOf({ value, standardError }: Estimate, chunks: number): number {
  return value === 0 ? 0 : studentConfidence(Math.abs(value) / standardError, chunks - 1)
}

function ofChunks(a: ArrayLike<number>, b: ArrayLike<number>, chunks: number): Estimate {
  if (a.length !== b.length) throw new RangeError(`${a.length} scored tokens against ${b.length}`)
  const rows = a.length / chunks
  const { mean, standardErrorOfMean } = moments(chunks, (chunk) => {
    let sum = 0
    for (let index = chunk * rows; index < (chunk + 1) * rows; index += 1) sum += (a[index] as number) - (b[index] as number)
    return sum / rows
  })
  return { value: mean, standardError: chunks > 1 ? standardErrorOfMean : Number.POSITIVE_INFINITY }
}
