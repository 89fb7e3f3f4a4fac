import type { Covariance } from '../../formats/ggml/feedback.js'
import { type CovarianceFile, type InputShape, type MatrixSums, nystrom, randomSigns } from '../../formats/imatrix/index.js'

/**
 * Tokens that a matrix's siblings together count as, beside those that it has seen itself: an expert of few tokens is known by its
 * diagonal alone, and that is its siblings'.
 */
const siblingTokens = 16

/** Mean squares over all matrices of an input together. */
export interface PooledInputs {
  readonly means: Float64Array
  readonly tokens: number
}

/** Mean squares of an input's columns over all its matrices. */
export async function pooledSquares(file: CovarianceFile, name: string): Promise<PooledInputs> {
  const { columns, matrices, tokens } = shapeOf(file, name)
  const total = tokens.reduce((sum, count) => sum + count, 0)
  const means = new Float64Array(columns)
  for (let matrix = 0; matrix < matrices; matrix += 1) {
    const squares = diagonalOf(await file.sums(name, matrix), columns)
    for (let i = 0; i < columns; i += 1) means[i] = (means[i] as number) + (total > 0 ? (squares[i] as number) / total : 0)
  }
  return { means, tokens: total }
}

/**
 * Mean of x x^T over the inputs of one matrix. Of those that have siblings, H is (S + t D) / (c + t): S the sum over its own c rows, D
 * the diagonal of all siblings together, t = 16.
 */
export async function expandCovariance(
  file: CovarianceFile,
  name: string,
  matrix: number,
  pooled: (name: string) => Promise<PooledInputs>,
): Promise<Covariance> {
  const { columns, matrices, width } = shapeOf(file, name)
  const sums = await file.sums(name, matrix)
  const siblings = matrices > 1 ? siblingTokens : 0
  const { means } = matrices > 1 ? await pooled(name) : { means: new Float64Array(columns) }
  const total = Math.max(sums.tokens + siblings, 1)
  const { whole, sketch } = sums
  if (whole !== undefined) {
    const full = new Float64Array(columns * columns)
    let at = 0
    for (let row = 0; row < columns; row += 1) {
      for (let column = row; column < columns; column += 1) {
        const mean = (whole[at] as number) / total
        full[row * columns + column] = mean
        full[column * columns + row] = mean
        at += 1
      }
      const place = row * (columns + 1)
      full[place] = (full[place] as number) + (siblings / total) * (means[row] as number)
    }
    return { full }
  }
  const own = Float64Array.from(diagonalOf(sums, columns), (sum) => sum / total)
  const shrunk = (diagonal: Float64Array): Float64Array =>
    diagonal.map((value, i) => value + (siblings / total) * (means[i] as number))
  if (sketch === undefined || sums.tokens === 0) return { diagonal: shrunk(own) }
  const scaled = sketch.map((value) => value / total)
  const { diagonal, factors } = nystrom(scaled, randomSigns(file.seed, columns, width), own, file.rank)
  return { diagonal: shrunk(diagonal), factors }
}

function diagonalOf({ whole, squares }: MatrixSums, columns: number): ArrayLike<number> {
  if (squares !== undefined) return squares
  let at = 0
  return Float64Array.from({ length: columns }, (_, row) => {
    const value = whole?.[at] ?? 0
    at += columns - row
    return value
  })
}

function shapeOf(file: CovarianceFile, name: string): InputShape {
  const found = file.inputs.get(name)
  if (found === undefined) throw new RangeError(`no input ${name}`)
  return found
}
