import type { Codec } from '../../formats/ggml/codec.js'
import type { Buffers, Evaluation, ReadRange } from './operation.js'
import { operationOf } from './operations.js'
import type { Recipe } from './recipe.js'
import { rowCount, rowLength } from './shape.js'
import { newStatistics, type Statistics } from './statistics.js'

const newBuffers: Buffers = { floats: (length) => new Float32Array(length), release() {} }

/**
 * The values of rows `start` to `end` (exclusive) of a recipe. Reads only the bytes that these rows need; memory is a small multiple of
 * the rows asked for.
 * @param buffers where the result's memory comes from, too; by default everything is new.
 * @param statistics shared by all ranges of rows of the same files; by default nothing is shared.
 * @returns (end - start) * rowLength(recipe) values, row-major.
 * @throws RangeError for rows that there are not.
 */
export async function evaluateRows(
  recipe: Recipe,
  start: number,
  end: number,
  read: ReadRange,
  codec: Codec,
  buffers: Buffers = newBuffers,
  statistics: Statistics = newStatistics(),
): Promise<Float32Array> {
  if (!(Number.isSafeInteger(start) && start >= 0 && end >= start && end <= rowCount(recipe))) {
    throw new RangeError(`rows ${start} to ${end} of ${rowCount(recipe)}`)
  }
  const target = buffers.floats((end - start) * rowLength(recipe))
  const evaluation: Evaluation = {
    read,
    codec,
    buffers,
    statistics,
    fill: (operand, first, rows) => operationOf(operand).fill(operand, first, rows, evaluation),
  }
  await evaluation.fill(recipe, start, target)
  return target
}

/**
 * A number of rows such that ranges that start and end at its multiples read and compute little twice: the rows of an fp8 block, of a
 * head, of a matrix to be transposed. At least 1, at most rowCount(recipe).
 */
export function preferredRowStep(recipe: Recipe): number {
  return Math.min(stepOf(recipe), Math.max(1, rowCount(recipe)))
}

function stepOf(recipe: Recipe): number {
  return operationOf(recipe).rowStep(recipe, stepOf)
}
