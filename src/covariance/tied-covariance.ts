import type { Covariance } from '../../formats/ggml/covariance.js'
import { type Recipe, rowCount, rowLength } from '../recipe/index.js'
import type { Evaluate } from './embedding-covariance.js'

/** One use of a weight: the covariance of its errors there, and its part of all the damage that a relative error does. */
export interface WeightUse {
  readonly covariance: Covariance
  /** Of all uses together 1. */
  readonly share: number
}

/** Rows that the power of columns is taken from, in runs. */
const sampledRows = 4096
const rowsTogether = 16

/**
 * Adds up the uses of one weight W, each in its own metric: H = sum of share * H_use * |W|^2 / tr(W diag(H_use) W^T). Then
 * tr(E H E^T) / |W|^2 is the damage of errors E in all uses together, each measured as `damageAt` does (src/allocate), and codes chosen with
 * feedback by H do not trade one use for another beyond these shares.
 * @param recipe of W, of which 4096 rows at most are looked at.
 * @returns whole where one of the covariances is, else a diagonal and the factors of all.
 */
export async function addUses(uses: readonly WeightUse[], recipe: Recipe, evaluate: Evaluate): Promise<Covariance> {
  const columns = rowLength(recipe)
  const squares = await columnSquares(recipe, evaluate)
  const power = squares.reduce((sum, square) => sum + square, 0)
  const scaled = uses.map(({ covariance, share }) => {
    const used = diagonalOf(covariance, columns).reduce((sum, value, i) => sum + value * (squares[i] as number), 0)
    return { covariance, scale: used > 0 ? (share * power) / used : 0 }
  })
  if (scaled.some(({ covariance }) => 'full' in covariance)) return { full: addWhole(scaled, columns) }
  const diagonal = new Float64Array(columns)
  const factors: number[] = []
  for (const { covariance, scale } of scaled) {
    if ('full' in covariance) continue
    for (let i = 0; i < columns; i += 1) diagonal[i] = (diagonal[i] as number) + scale * (covariance.diagonal[i] as number)
    for (const value of covariance.factors ?? []) factors.push(Math.sqrt(scale) * value)
  }
  return { diagonal, factors: Float64Array.from(factors) }
}

interface Scaled {
  readonly covariance: Covariance
  readonly scale: number
}

function addWhole(scaled: readonly Scaled[], columns: number): Float64Array {
  const full = new Float64Array(columns * columns)
  for (const { covariance, scale } of scaled) {
    const add = (at: number, value: number): void => {
      full[at] = (full[at] as number) + scale * value
    }
    if ('full' in covariance) {
      covariance.full.forEach((value, at) => {
        add(at, value)
      })
      continue
    }
    const { diagonal, factors = new Float64Array() } = covariance
    for (let i = 0; i < columns; i += 1) add(i * (columns + 1), diagonal[i] as number)
    for (let start = 0; start < factors.length; start += columns) {
      for (let i = 0; i < columns; i += 1) {
        const value = factors[start + i] as number
        if (value === 0) continue
        for (let j = 0; j < columns; j += 1) add(i * columns + j, value * (factors[start + j] as number))
      }
    }
  }
  return full
}

function diagonalOf(covariance: Covariance, columns: number): Float64Array {
  if ('full' in covariance) return Float64Array.from({ length: columns }, (_, i) => covariance.full[i * (columns + 1)] as number)
  const diagonal = Float64Array.from(covariance.diagonal)
  covariance.factors?.forEach((value, at) => {
    diagonal[at % columns] = (diagonal[at % columns] as number) + value ** 2
  })
  return diagonal
}

/** Sums of squares of each column, over rows that are spread evenly. */
async function columnSquares(recipe: Recipe, evaluate: Evaluate): Promise<Float64Array> {
  const [rows, columns] = [rowCount(recipe), rowLength(recipe)]
  const squares = new Float64Array(columns)
  const runs = Math.ceil(Math.min(rows, sampledRows) / rowsTogether)
  for (let run = 0; run < runs; run += 1) {
    const start = Math.floor((run * rows) / runs)
    const values = await evaluate(recipe, start, Math.min(rows, start + rowsTogether))
    values.forEach((value, at) => {
      squares[at % columns] = (squares[at % columns] as number) + value ** 2
    })
  }
  return squares
}
