import type { ImportanceEntry } from '../../formats/imatrix/index.js'
import { formatCount, formatTable } from '../terminal/index.js'
import { withMatrix } from './read-matrix.js'
import { type InputStatistics, inputStatistics, inputsText } from './show-covariance.js'

/** What an importance matrix says of one weight. */
export interface WeightStatistics {
  readonly tensor: string
  readonly columns: number
  /** Matrices of its stack that are counted apart: experts. */
  readonly matrices: number
  /** Tokens, or in the old form chunks, that all its matrices have seen. */
  readonly tokens: number
  /** Those of the matrix that has seen least. */
  readonly leastTokens: number
  /** Matrices that have seen none. */
  readonly unseen: number
  /** Mean of x^2 over all columns. */
  readonly mean: number
  /** The strongest column over the mean: how much there is to win from knowing it. */
  readonly peak: number
  /** exp of the entropy of the columns' shares, over their number: 1 where all are alike, near 0 where few carry everything. */
  readonly evenness: number
}

/** What an importance matrix holds. */
export interface MatrixStatistics {
  readonly file: string
  readonly datasets: readonly string[]
  readonly chunks: number
  /** Missing in the old form. */
  readonly chunkLength?: number
  readonly weights: readonly WeightStatistics[]
  /** What is known of covariances; missing where nothing is. */
  readonly inputs?: readonly InputStatistics[]
}

/** Reads an importance matrix and sums it up, weight by weight. @throws MqError and FormatError as readMatrix does. */
export async function matrixStatistics(file: string): Promise<MatrixStatistics> {
  return await withMatrix(file, async ({ matrix: { entries, datasets, chunks, chunkLength }, covariance }) => ({
    file,
    datasets,
    chunks,
    chunkLength,
    weights: [...entries].map(([tensor, entry]) => statisticsOf(tensor, entry)),
    inputs: covariance === undefined ? undefined : await inputStatistics(covariance),
  }))
}

function statisticsOf(tensor: string, { meanSquares, counts }: ImportanceEntry): WeightStatistics {
  const total = meanSquares.reduce((sum, value) => sum + value, 0)
  const mean = total / meanSquares.length
  const entropy = meanSquares.reduce((sum, value) => (value > 0 ? sum - (value / total) * Math.log(value / total) : sum), 0)
  return {
    tensor,
    columns: meanSquares.length / counts.length,
    matrices: counts.length,
    tokens: counts.reduce((sum, count) => sum + count, 0),
    leastTokens: counts.reduce((least, count) => Math.min(least, count), Number.POSITIVE_INFINITY),
    unseen: counts.filter((count) => count === 0).length,
    mean,
    peak: mean > 0 ? meanSquares.reduce((max, value) => Math.max(max, value), 0) / mean : 0,
    evenness: total > 0 ? Math.exp(entropy) / meanSquares.length : 0,
  }
}

/** The statistics as a user reads them on the terminal. */
export function statisticsText({ file, datasets, chunks, chunkLength, weights, inputs }: MatrixStatistics): string {
  const from = datasets.length === 0 ? 'texts that it does not name' : datasets.join(', ')
  const rows = weights.map((weight) => [
    weight.tensor,
    `${weight.columns}`,
    `${weight.matrices}`,
    formatCount(weight.tokens),
    formatCount(weight.leastTokens),
    weight.unseen === 0 ? '' : `${weight.unseen}`,
    weight.mean.toPrecision(4),
    weight.peak.toFixed(1),
    weight.evenness.toFixed(3),
  ])
  const titles = [
    'columns',
    'matrices',
    chunkLength === undefined ? 'chunks' : 'tokens',
    'least',
    'unseen',
    'mean x²',
    'peak',
    'evenness',
  ]
  return [
    `${file}: ${weights.length} weights on ${from}, ${chunks} chunks${chunkLength === undefined ? '' : ` of ${chunkLength} tokens`}.`,
    '',
    formatTable([{ title: 'weight' }, ...titles.map((title) => ({ title, align: 'right' as const }))], rows),
    ...(inputs === undefined ? [] : ['', 'How the columns of the inputs go together:', '', inputsText(inputs)]),
  ].join('\n')
}
