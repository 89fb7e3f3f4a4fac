import type { LogitsComparison } from '../runner/index.js'
import { type Estimate, moments } from './statistics.js'

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
    confidence: kld.value === 0 ? 0 : studentConfidence(Math.abs(kld.value) / kld.standardError, first.chunks - 1),
  }
}

function ofChunks(a: Float64Array, b: Float64Array, chunks: number): Estimate {
  if (a.length !== b.length) throw new RangeError(`${a.length} scored tokens against ${b.length}`)
  const rows = a.length / chunks
  const { mean, standardErrorOfMean } = moments(chunks, (chunk) => {
    let sum = 0
    for (let index = chunk * rows; index < (chunk + 1) * rows; index += 1) sum += (a[index] as number) - (b[index] as number)
    return sum / rows
  })
  return { value: mean, standardError: chunks > 1 ? standardErrorOfMean : Number.POSITIVE_INFINITY }
}

/**
 * The probability that a Student's t with `degrees` of freedom lies between -t and t; 0 without any.
 * Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
 */
export function studentConfidence(t: number, degrees: number): number {
  if (degrees < 1) return 0
  const angle = Math.atan(t / Math.sqrt(degrees))
  const cosine = Math.cos(angle)
  const isOdd = degrees % 2 === 1
  let term = isOdd ? cosine : 1
  let sum = degrees === 1 ? 0 : term
  for (let power = isOdd ? 3 : 2; power <= degrees - 2; power += 2) {
    term *= ((power - 1) / power) * cosine * cosine
    sum += term
  }
  return isOdd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum
}
