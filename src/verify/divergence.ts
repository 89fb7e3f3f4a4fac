import type { LogitsComparison } from '../runner/index.js'
import { type Estimate, type Moments, moments } from './statistics.js'

/** How some figure is spread over the scored tokens. */
export interface Spread {
  readonly mean: Estimate
  readonly median: number
  readonly minimum: number
  readonly maximum: number
  /** Percentage -> the value that this part of the tokens does not exceed: `{ "99.9": 0.41 }`. */
  readonly quantiles: Readonly<Record<string, number>>
  /** Standard errors of the quantiles by the same names, that of the median under "50". */
  readonly quantileErrors: Readonly<Record<string, number>>
}

/** How far a model's predictions are from its reference's, as llama-perplexity --kl-divergence has it. */
export interface Divergence {
  /** Kullback-Leibler divergence of the model from the reference at each position, in nats. */
  readonly kld: Spread
  /** Change of the probability of the token that stands in the text. */
  readonly probabilityChange: Spread & { readonly rootMeanSquare: Estimate }
  /** Share of the positions where both hold the same token for the likeliest. */
  readonly sameTop: Estimate
  /** Correlation of both models' ln p over the tokens of the text. */
  readonly correlation: number
  /** Mean divergence of each chunk of the text. */
  readonly kldOfChunks: number[]
}

/** Percentages at which KL divergence and changes of probability are told, as llama-perplexity prints them. */
export const kldPercentages = [99.9, 99, 95, 90, 10, 5, 1, 0.1]
/** Percentiles of the change of a token's probability that are reported, as llama-perplexity has them. */
export const changePercentages = [99.9, 99, 95, 90, 75, 25, 10, 5, 1, 0.1]
const { fround } = Math

/** Sums a comparison up. Source: kl_divergence() in tools/perplexity/perplexity.cpp of llama.cpp. */
export function divergenceOf(comparison: LogitsComparison): Divergence {
  const { divergences, probabilityChanges, sameTop, chunks } = comparison
  const squares = momentsOf(Float64Array.from(probabilityChanges, (change) => change * change))
  const rootMeanSquare = Math.sqrt(squares.mean)
  const share = momentsOf(sameTop).mean
  const ofChunk = divergences.length / chunks
  return {
    kld: spread(divergences, kldPercentages),
    probabilityChange: {
      ...spread(probabilityChanges, changePercentages),
      rootMeanSquare: {
        value: rootMeanSquare,
        standardError: rootMeanSquare === 0 ? 0 : (0.5 / rootMeanSquare) * squares.standardErrorOfMean,
      },
    },
    sameTop: { value: share, standardError: Math.sqrt((share * (1 - share)) / (sameTop.length - 1)) },
    correlation: correlation(comparison.negativeLogLikelihoods, comparison.baseNegativeLogLikelihoods),
    kldOfChunks: Array.from(
      { length: chunks },
      (_, chunk) => momentsOf(divergences.subarray(chunk * ofChunk, (chunk + 1) * ofChunk)).mean,
    ),
  }
}

function spread(values: Float64Array | Float32Array, percentages: readonly number[]): Spread {
  // in single precision, as llama-perplexity keeps and interpolates them
  const sorted = Float32Array.from(values).sort()
  const at = (index: number): number => sorted[Math.min(index, sorted.length - 1)] as number
  const { mean, standardErrorOfMean } = momentsOf(values)
  const middle = Math.floor(sorted.length / 2)
  return {
    mean: { value: mean, standardError: standardErrorOfMean },
    median: sorted.length % 2 === 0 ? fround((at(middle) + at(middle - 1)) / 2) : at(middle),
    minimum: at(0),
    maximum: at(sorted.length - 1),
    quantiles: Object.fromEntries(percentages.map((percentage) => [percentage, quantile(sorted, percentage / 100)])),
    quantileErrors: Object.fromEntries(
      [...percentages, 50].map((percentage) => [percentage, quantileError(sorted, percentage / 100)]),
    ),
  }
}

function quantile(sorted: Float32Array, part: number): number {
  const place = fround(fround(part) * (sorted.length - 1))
  const index = Math.floor(place)
  const rest = fround(place - index)
  const [low, high] = [sorted[index] as number, sorted[Math.min(index + 1, sorted.length - 1)] as number]
  return fround(fround(fround(1 - rest) * low) + fround(rest * high))
}

/**
 * Half the distance between the values that lie one standard deviation of the count, sqrt(n p (1 - p)), below and above the quantile:
 * how many of n independent values fall below a quantile is binomial, whatever they are spread like.
 * Source: David and Nagaraja, Order Statistics, 7.1.
 */
function quantileError(sorted: Float32Array, part: number): number {
  const deviation = Math.sqrt((part * (1 - part)) / sorted.length)
  return (quantile(sorted, Math.min(part + deviation, 1)) - quantile(sorted, Math.max(part - deviation, 0))) / 2
}

function correlation(a: Float64Array, b: Float64Array): number {
  const [{ mean: meanA, standardErrorOfMean: errorA }, { mean: meanB, standardErrorOfMean: errorB }] = [
    momentsOf(a),
    momentsOf(b),
  ]
  let products = 0
  for (let index = 0; index < a.length; index += 1) products += ((a[index] as number) - meanA) * ((b[index] as number) - meanB)
  return products / a.length / (a.length - 1) / (errorA * errorB)
}

function momentsOf(values: ArrayLike<number>): Moments {
  return moments(values.length, (index) => values[index] as number)
}
