import type { Covariance } from '../../formats/ggml/covariance.js'
import type { LinearAlgebra } from '../../formats/ggml/linear-algebra.js'
import type { MatrixSums } from '../../formats/imatrix/covariance-reader.js'
import { randomSigns } from '../../formats/imatrix/signs.js'
import { nystrom } from './nystrom.js'

/** Parameters to compute a covariance from sums. */
export interface Expansion {
  readonly columns: number
  /** Of the sketch; 0 without. */
  readonly width: number
  /** Seed of the signs that it was made with. */
  readonly seed: number
  /** Rank to keep of it. */
  readonly rank: number
  /** Of a matrix that has siblings: their mean squares, and for how many tokens they count. */
  readonly siblings?: { readonly means: Float64Array; readonly tokens: number }
}

/**
 * Mean of x x^T over the inputs of one matrix. Of those that have siblings, H is (S + t D) / (c + t): S the sum over its own c rows, D
 * the diagonal of all siblings together, t the tokens that they count for.
 * @param algebra for sketches; by default without kernels.
 */
export function expandSums(
  sums: MatrixSums,
  { columns, width, seed, rank, siblings }: Expansion,
  algebra?: LinearAlgebra,
): Covariance {
  const { whole, sketch, tokens } = sums
  const total = Math.max(tokens + (siblings?.tokens ?? 0), 1)
  const added = (column: number): number =>
    siblings === undefined ? 0 : (siblings.tokens / total) * (siblings.means[column] as number)
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
      full[place] = (full[place] as number) + added(row)
    }
    return { full }
  }
  const own = Float64Array.from(diagonalOf(sums, columns), (sum) => sum / total)
  const shrunk = (diagonal: Float64Array): Float64Array => diagonal.map((value, column) => value + added(column))
  if (sketch === undefined || tokens === 0) return { diagonal: shrunk(own) }
  const scaled = new Float64Array(sketch.length)
  for (let at = 0; at < sketch.length; at += 1) scaled[at] = Math.fround((sketch[at] as number) / total)
  const { diagonal, factors } = nystrom(scaled, randomSigns(seed, columns, width), own, rank, algebra)
  return { diagonal: shrunk(diagonal), factors }
}

/** Sums of squares of each column. */
export function diagonalOf({ whole, squares }: Pick<MatrixSums, 'whole' | 'squares'>, columns: number): ArrayLike<number> {
  if (squares !== undefined) return squares
  let at = 0
  return Float64Array.from({ length: columns }, (_, row) => {
    const value = whole?.[at] ?? 0
    at += columns - row
    return value
  })
}
