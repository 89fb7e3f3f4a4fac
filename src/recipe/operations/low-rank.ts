import { type Evaluation, type Operation, within } from '../operation.js'
import { decodePlain, plainTypeBytes } from '../plain-values.js'
import type { Recipe, Shape } from '../recipe.js'
import { rowLength, showShape } from '../shape.js'

/**
 * The product of two narrow matrices times a factor, as low-rank adapters (LoRA) have it: value = (left right) * scale, with left rows x rank
 * and right rank x columns. Products are added up in order of the rank, in groups of four, each sum rounded to f32; then comes the factor.
 */
export interface LowRankRecipe {
  readonly op: 'low-rank'
  readonly left: Recipe
  readonly right: Recipe
  readonly scale: number
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly 'low-rank': LowRankRecipe
  }
}

/** @throws RangeError where the operands are no matrices whose inner dimensions agree. */
export function lowRank(left: Recipe, right: Recipe, scale: number): LowRankRecipe {
  const [rows, rank, ...more] = left.shape
  const [inner, columns, ...others] = right.shape
  if (rows === undefined || columns === undefined || rank !== inner || more.length + others.length > 0) {
    throw new RangeError(`${showShape(left.shape)} times ${showShape(right.shape)}`)
  }
  return { op: 'low-rank', left, right, scale: Math.fround(scale), shape: [rows, columns] }
}

/** Values of the right matrix that are held at once, so that memory does not grow with the rank. */
const valuesAtOnce = 1 << 18
/** Rows of the right matrix that are added at a time. */
const group = 4

export const lowRankOperation: Operation<LowRankRecipe> = {
  operands: ({ left, right }) => [left, right],
  source: () => undefined,
  lossless: false,
  rowStep: () => 1,
  async fill(node, start, target, evaluation) {
    const { left, right, scale } = node
    const columns = rowLength(node)
    const rank = rowLength(left)
    const rows = target.length / columns
    const { buffers, fill } = evaluation
    const factors = buffers.floats(rows * rank)
    await fillLeft(left, start, factors, evaluation)
    target.fill(0)
    const step = Math.max(group, group * Math.floor(valuesAtOnce / columns / group))
    for (let from = 0; from < rank; from += step) {
      const count = Math.min(step, rank - from)
      const chunk = buffers.floats(count * columns)
      await fill(right, from, chunk)
      for (let row = 0; row < rows; row++) {
        const sums = target.subarray(row * columns, (row + 1) * columns)
        for (let k = 0; k < count; k += group)
          addGroup(sums, factors, row * rank + from + k, chunk, k, Math.min(group, count - k))
      }
      buffers.release(chunk)
    }
    for (let at = 0; at < target.length; at++) target[at] = (target[at] as number) * scale
    buffers.release(factors)
  },
  read: (fields) => lowRank(fields.recipe('left'), fields.recipe('right'), fields.number('scale')),
}

/** Adds up to four rows of the right matrix, each times its factor. */
function addGroup(
  sums: Float32Array,
  factors: Float32Array,
  at: number,
  chunk: Float32Array,
  first: number,
  count: number,
): void {
  const columns = sums.length
  const factor = (index: number): number => (index < count ? (factors[at + index] as number) : 0)
  const rowOf = (index: number): Float32Array =>
    chunk.subarray((first + Math.min(index, count - 1)) * columns, (first + Math.min(index, count - 1) + 1) * columns)
  const [a, b, c, d] = [factor(0), factor(1), factor(2), factor(3)]
  if (count < group) {
    for (let index = 0; index < count; index++) {
      const [value, row] = [factor(index), rowOf(index)]
      for (let column = 0; column < columns; column++) sums[column] = (sums[column] as number) + value * (row[column] as number)
    }
    return
  }
  const [p, q, r, s] = [rowOf(0), rowOf(1), rowOf(2), rowOf(3)]
  for (let column = 0; column < columns; column++) {
    sums[column] =
      (sums[column] as number) +
      a * (p[column] as number) +
      b * (q[column] as number) +
      c * (r[column] as number) +
      d * (s[column] as number)
  }
}

/** Of a stored matrix that is turned, each row is a run of one of its columns: only these are read. */
async function fillLeft(left: Recipe, start: number, target: Float32Array, { read, buffers, fill }: Evaluation): Promise<void> {
  if (left.op !== 'transpose' || left.input.op !== 'plain') return fill(left, start, target)
  const { dtype, range } = left.input
  const rank = rowLength(left)
  const length = rowLength(left.input)
  const rows = target.length / rank
  const size = plainTypeBytes[dtype]
  const column = buffers.floats(rows)
  for (let k = 0; k < rank; k++) {
    const from = k * length + start
    const bytes = await read(within(range, from * size, (from + rows) * size))
    decodePlain(dtype, bytes, column)
    buffers.release(bytes)
    for (let row = 0; row < rows; row++) target[row * rank + k] = column[row] as number
  }
  buffers.release(column)
}
