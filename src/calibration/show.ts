import type { ImportanceEntry } from '../../formats/imatrix/index.js'
import { formatCount, formatTable } from '../terminal/index.js'
import { withMatrix } from './read-matrix.js'
import { type InputStatistics, inputStatistics, inputsText } from './show-covariance.js'

/** Statistics of one tensor in an importance matrix. */
export interface WeightStatistics {
  readonly tensor: string
  readonly columns: number
  /** Matrices of the stack (experts) with counts of their own. */
  readonly matrices: number
  /** Tokens (in the .dat format: chunks) of all matrices together. */
  readonly tokens: number
  /** Tokens of the matrix with the fewest. */
  readonly leastTokens: number
  /** Matrices without any. */
  readonly unseen: number
  /** Mean of x^2 over all columns. */
  readonly mean: number
  /** Largest column divided by the mean. */
  readonly peak: number
  /** exp(entropy of the columns' shares) / number of columns: 1 for a uniform distribution, near 0 where few columns dominate. */
  readonly evenness: number
}

/** Statistics of an importance matrix. */
export interface MatrixStatistics {
  readonly file: string
  readonly datasets: readonly string[]
  readonly chunks: number
  /** Tokens of a chunk; absent in the .dat format. */
  readonly chunkLength?: number
  readonly weights: readonly WeightStatistics[]
  /** Statistics of input covariances; absent where the file has none. */
  readonly inputs?: readonly InputStatistics[]
}

/** Reads an importance matrix and computes statistics of each tensor. @throws MqError and FormatError as readMatrix does. */
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

/** The statistics as lines for the screen. */
export function statisticsText({ file, datasets, chunks, chunkLength, weights, inputs }: MatrixStatistics): string {
  const from = datasets.length === 0 ? 'an unnamed text' : datasets.join(', ')
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
    'least tokens',
    'unseen',
    'mean x²',
    'peak',
    'evenness',
  ]
  return [
    `${file}: ${weights.length} tensors on ${from}, ${chunks} chunks${chunkLength === undefined ? '' : ` of ${chunkLength} tokens`}.`,
    '',
    formatTable([{ title: 'tensor' }, ...titles.map((title) => ({ title, align: 'right' as const }))], rows),
    ...(inputs === undefined ? [] : ['', 'Input covariances:', '', inputsText(inputs)]),
  ].join('\n')
}
