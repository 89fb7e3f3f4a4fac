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
/** Rows that the power of outputs is taken from. */
const sampledOutputs = 64

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
  const columns = rowLength(recipe)
  const squares = new Float64Array(columns)
  for await (const values of sampledRuns(recipe, sampledRows, evaluate)) {
    values.forEach((value, at) => {
      squares[at % columns] = (squares[at % columns] as number) + value ** 2
    })
  }
  return squares
}

/** Mean of |w|^2 over the rows w of a weight, of which 4096 at most are looked at. */
export async function rowPower(recipe: Recipe, evaluate: Evaluate): Promise<number> {
  let [sum, rows] = [0, 0]
  for await (const values of sampledRuns(recipe, sampledRows, evaluate)) {
    sum += values.reduce((power, value) => power + value ** 2, 0)
    rows += values.length / rowLength(recipe)
  }
  return sum / rows
}

/** Mean of |W x|^2, tr(W H W^T), from 64 rows of W at most. @param covariance H of x. */
export async function outputPower(recipe: Recipe, covariance: Covariance, evaluate: Evaluate): Promise<number> {
  const columns = rowLength(recipe)
  let [sum, rows] = [0, 0]
  for await (const values of sampledRuns(recipe, sampledOutputs, evaluate)) {
    for (let start = 0; start < values.length; start += columns) {
      sum += quadraticForm(values.subarray(start, start + columns), covariance)
      rows += 1
    }
  }
  return (sum * rowCount(recipe)) / rows
}

/** w H w^T. */
function quadraticForm(w: Float32Array, covariance: Covariance): number {
  const columns = w.length
  const dot = (values: ArrayLike<number>, from: number): number => {
    let product = 0
    for (let i = 0; i < columns; i += 1) product += (w[i] as number) * (values[from + i] as number)
    return product
  }
  let sum = 0
  if ('full' in covariance) {
    for (let i = 0; i < columns; i += 1) sum += (w[i] as number) * dot(covariance.full, i * columns)
    return sum
  }
  const { diagonal, factors = new Float64Array() } = covariance
  for (let i = 0; i < columns; i += 1) sum += (diagonal[i] as number) * (w[i] as number) ** 2
  for (let from = 0; from < factors.length; from += columns) sum += dot(factors, from) ** 2
  return sum
}

/** Rows in short runs, spread evenly over a weight, `most` of them at most but for the last run. */
async function* sampledRuns(recipe: Recipe, most: number, evaluate: Evaluate): AsyncGenerator<Float32Array, void, void> {
  const rows = rowCount(recipe)
  const runs = Math.ceil(Math.min(rows, most) / rowsTogether)
  for (let run = 0; run < runs; run += 1) {
    const start = Math.floor((run * rows) / runs)
    yield await evaluate(recipe, start, Math.min(rows, start + rowsTogether))
  }
}
