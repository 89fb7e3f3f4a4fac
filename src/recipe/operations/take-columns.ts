import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { rowCount, rowLength, showShape } from '../shape.js'

/** Columns of a matrix by number: value (r, c) = input (r, index[c]). Numbers outside of it give NaN. */
export interface TakeColumnsRecipe {
  readonly op: 'take-columns'
  readonly input: Recipe
  /** A vector of whole numbers. */
  readonly index: Recipe
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly 'take-columns': TakeColumnsRecipe
  }
}

/** @throws RangeError where the index is no vector, or the input no matrix. */
export function takeColumns(input: Recipe, index: Recipe): TakeColumnsRecipe {
  if (index.shape.length !== 1 || input.shape.length !== 2) {
    throw new RangeError(`columns ${showShape(index.shape)} of ${showShape(input.shape)}`)
  }
  return { op: 'take-columns', input, index, shape: [rowCount(input), rowLength(index)] }
}

export const takeColumnsOperation: Operation<TakeColumnsRecipe> = {
  operands: ({ input, index }) => [input, index],
  source: () => undefined,
  lossless: false,
  rowStep: ({ input }, stepOf) => stepOf(input),
  async fill(node, start, target, { fill, buffers }) {
    const { input, index } = node
    const columns = rowLength(node)
    const length = rowLength(input)
    const count = target.length / columns
    const [numbers, rows] = [buffers.floats(columns), buffers.floats(count * length)]
    await Promise.all([fill(index, 0, numbers), fill(input, start, rows)])
    for (let row = 0, at = 0; row < count; row++) {
      for (let column = 0; column < columns; column++, at++) {
        const number = numbers[column] as number
        target[at] = number < length ? (rows[row * length + number] ?? Number.NaN) : Number.NaN
      }
    }
    buffers.release(numbers)
    buffers.release(rows)
  },
  read: (fields) => takeColumns(fields.recipe('input'), fields.recipe('index')),
}
