import type { LogitsComparison } from '../runner/index.js'

/** Where in the text, and how often, a model is how far from its reference: what plots are drawn from. */
export interface Profile {
  /** Of each chunk of the text the means over its scored tokens. */
  readonly chunks: Means
  /** Of each scored position in a chunk the means over the chunks. */
  readonly positions: Means & {
    /** Tokens that stand before the first of these positions. */
    readonly first: number
  }
  readonly histograms: {
    readonly kld: Histogram
    readonly probabilityChange: Histogram
  }
}

/** Means of the same tokens' figures. */
export interface Means {
  /** -ln p of the tokens of the text under the model, and under the reference. */
  readonly negativeLogLikelihood: number[]
  readonly referenceNegativeLogLikelihood: number[]
  readonly kld: number[]
  /** Share of the positions where both hold the same token for the likeliest. */
  readonly sameTop: number[]
}

/** How many values lie in `edges[i] <= value < edges[i + 1]`. */
export interface Histogram {
  readonly edges: number[]
  readonly counts: number[]
  /** Values below the first and from the last edge on. */
  readonly below: number
  readonly above: number
}

/** Edges are the same for all models, so that these can be laid over each other: eight a decade, 1e-6 to 100 nats. */
const kldEdges = Array.from({ length: 65 }, (_, index) => power(index / 8 - 6))
/** Six a decade, 1e-5 to 1 in both directions, and one bin around 0. */
const changeSteps = Array.from({ length: 31 }, (_, index) => power(index / 6 - 5))
const changeEdges = [...changeSteps.map((step) => -step).reverse(), ...changeSteps]

/** A power of ten in digits that people can read. */
function power(exponent: number): number {
  return Number((10 ** exponent).toPrecision(9))
}

/** @param reference -ln p of each token under the reference, where it is known better than the comparison has it. */
export function profileOf(
  comparison: LogitsComparison,
  reference: Float64Array = comparison.baseNegativeLogLikelihoods,
): Profile {
  const { chunks, contextLength, divergences } = comparison
  const rows = divergences.length / chunks
  const means = (count: number, each: number, at: (group: number, index: number) => number): Means => {
    const meanOf = (values: ArrayLike<number>): number[] =>
      Array.from({ length: count }, (_, group) => {
        let sum = 0
        for (let index = 0; index < each; index += 1) sum += values[at(group, index)] as number
        return sum / each
      })
    return {
      negativeLogLikelihood: meanOf(comparison.negativeLogLikelihoods),
      referenceNegativeLogLikelihood: meanOf(reference),
      kld: meanOf(divergences),
      sameTop: meanOf(comparison.sameTop),
    }
  }
  return {
    chunks: means(chunks, rows, (chunk, row) => chunk * rows + row),
    positions: { first: contextLength - rows, ...means(rows, chunks, (row, chunk) => chunk * rows + row) },
    histograms: {
      kld: histogram(divergences, kldEdges),
      probabilityChange: histogram(comparison.probabilityChanges, changeEdges),
    },
  }
}

function histogram(values: ArrayLike<number>, edges: readonly number[]): Histogram {
  const counts = Array.from({ length: edges.length - 1 }, () => 0)
  let below = 0
  let above = 0
  for (let index = 0; index < values.length; index += 1) {
    const bin = binOf(values[index] as number, edges)
    if (bin < 0) below += 1
    else if (bin >= counts.length) above += 1
    else counts[bin] = (counts[bin] as number) + 1
  }
  return { edges: [...edges], counts, below, above }
}

/** The last edge that is not above the value, by bisection; -1 where all are. */
function binOf(value: number, edges: readonly number[]): number {
  let [low, high] = [-1, edges.length]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((edges[middle] as number) <= value) low = middle
    else high = middle
  }
  return low
}
