import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { rowLength, sameShape, showShape } from '../shape.js'

/** Each value of a matrix over a block of blockRows x blockColumns, cropped at the edges to `shape`. */
export interface ExpandRecipe {
  readonly op: 'expand'
  readonly input: Recipe
  readonly blockRows: number
  readonly blockColumns: number
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly expand: ExpandRecipe
  }
}

/** @throws RangeError where the blocks do not cover the shape. */
export function expand(input: Recipe, blockRows: number, blockColumns: number, shape: Shape): ExpandRecipe {
  const [rows = 0, columns = 0] = shape
  const expected = [Math.ceil(rows / blockRows), Math.ceil(columns / blockColumns)]
  if (shape.length !== 2 || !sameShape(input.shape, expected)) {
    throw new RangeError(`${showShape(input.shape)} over blocks of ${blockRows} x ${blockColumns} of ${showShape(shape)}`)
  }
  return { op: 'expand', input, blockRows, blockColumns, shape }
}

export const expandOperation: Operation<ExpandRecipe> = {
  operands: ({ input }) => [input],
  source: () => undefined,
  lossless: false,
  rowStep: ({ input, blockRows }, stepOf) => blockRows * stepOf(input),
  async fill(node, start, target, { fill, buffers }) {
    const { input, blockRows, blockColumns } = node
    const columns = rowLength(node)
    const end = start + target.length / columns
    const first = Math.floor(start / blockRows)
    const length = rowLength(input)
    const blocks = buffers.floats((Math.ceil(end / blockRows) - first) * length)
    await fill(input, first, blocks)
    for (let row = start, at = 0; row < end; row++) {
      let from = (Math.floor(row / blockRows) - first) * length
      for (let column = 0; column < columns; from++) {
        const blockEnd = Math.min(columns, column + blockColumns)
        target.fill(blocks[from] as number, at, at + blockEnd - column)
        at += blockEnd - column
        column = blockEnd
      }
    }
    buffers.release(blocks)
  },
  read: (fields) =>
    expand(fields.recipe('input'), fields.count('blockRows'), fields.count('blockColumns'), fields.shape('shape')),
}
