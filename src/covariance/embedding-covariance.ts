import type { Covariance } from '../../formats/ggml/covariance.js'
import { kernelLinearAlgebra } from '../../formats/ggml/linear-algebra.js'
import { openProducts } from '../../formats/ggml/products.js'
import { randomSigns } from '../../formats/imatrix/index.js'
import { type Recipe, rowCount, rowLength } from '../recipe/index.js'
import { nystrom } from './nystrom.js'

/** Gives rows of a recipe, which are the caller's to change. */
export type Evaluate = (recipe: Recipe, start: number, end: number) => Promise<Float32Array>

/** The matrices of the first layer that read the embedding. */
export interface EmbeddingReaders {
  /** The norm's weights: each column is multiplied by one before it is read. */
  readonly norm: Recipe
  readonly readers: readonly Recipe[]
}

/** Up to this many columns the covariance is full. */
const wholeColumns = 1024
/** Rank for wider embeddings, from a sketch of three times as many columns. */
const rank = 128
const seed = 1
const valuesAtOnce = 2 ** 19

/**
 * Sensitivities of an embedding, to errors of what blocks read and of the logits: KL divergence that a relative error of 1 in each use would
 * add, up to a factor that is the same for the whole model. See docs/experiments.md.
 */
export const embeddingWeights = { input: 0.55, output: 1 } as const

/** Directions that the covariance of an embedding's readers has. */
export function embeddingRank(columns: number): number | 'whole' {
  return columns <= wholeColumns ? 'whole' : rank
}

/**
 * Metric of the embedding's errors after the first layer, used like an input covariance: sum over the matrices that read it of (W D)^T W D, D
 * the diagonal of the norm, each normalized to a mean diagonal of 1. The first layer's output is much larger than the embedding itself, so
 * that this covers nearly all of the error's effect.
 * @returns whole up to 1024 columns, else diagonal and 128 factors.
 */
export async function embeddingCovariance({ norm, readers }: EmbeddingReaders, evaluate: Evaluate): Promise<Covariance> {
  const columns = rowLength(norm)
  const products = await openProducts()
  const scales = await evaluate(norm, 0, 1)
  const width = 3 * rank
  const signs = embeddingRank(columns) === 'whole' ? undefined : randomSigns(seed, columns, width)
  const length = signs === undefined ? (columns * (columns + 1)) / 2 : columns * width
  const sums = new Float64Array(length)
  const diagonal = new Float64Array(columns)
  for (const recipe of readers) {
    const ofReader = new Float32Array(length)
    const squares = new Float64Array(columns)
    const step = Math.max(1, Math.floor(valuesAtOnce / columns))
    for (let start = 0; start < rowCount(recipe); start += step) {
      const values = await evaluate(recipe, start, Math.min(rowCount(recipe), start + step))
      for (let at = 0; at < values.length; at += 1) {
        const column = at % columns
        const value = Math.fround((values[at] as number) * (scales[column] as number))
        values[at] = value
        squares[column] = (squares[column] as number) + value ** 2
      }
      const starts = Array.from({ length: values.length / columns }, (_, row) => row * columns)
      if (signs === undefined) products.addSquare({ values, starts }, columns, ofReader)
      else products.addSketch({ values, starts }, columns, signs, ofReader)
    }
    const share = columns / (readers.length * squares.reduce((sum, square) => sum + square, 0) || 1)
    for (let at = 0; at < length; at += 1) sums[at] = (sums[at] as number) + share * (ofReader[at] as number)
    for (let i = 0; i < columns; i += 1) diagonal[i] = (diagonal[i] as number) + share * (squares[i] as number)
  }
  // Weights that are no numbers are reported where they are quantized.
  if (diagonal.some((mean) => !Number.isFinite(mean)))
    return { diagonal: new Float64Array(columns).fill(1), factors: new Float64Array() }
  return signs === undefined ? { full: square(sums, columns) } : nystrom(sums, signs, diagonal, rank, await kernelLinearAlgebra())
}

/** All of a symmetric matrix from its upper triangle, row by row. */
function square(triangle: Float64Array, columns: number): Float64Array {
  const full = new Float64Array(columns * columns)
  let at = 0
  for (let row = 0; row < columns; row += 1) {
    for (let column = row; column < columns; column += 1) {
      full[row * columns + column] = full[column * columns + row] = triangle[at] as number
      at += 1
    }
  }
  return full
}
