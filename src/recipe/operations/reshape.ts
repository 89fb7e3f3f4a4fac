import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { elementCount, rowLength, showShape } from '../shape.js'

/** The same values under another shape. */
export interface ReshapeRecipe {
  readonly op: 'reshape'
  readonly input: Recipe
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly reshape: ReshapeRecipe
  }
}

/** The same values under another shape. @throws RangeError where that holds another number of values. */
export function reshape(input: Recipe, shape: Shape): ReshapeRecipe {
  if (elementCount(input.shape) !== elementCount(shape)) throw new RangeError(`${showShape(input.shape)} as ${showShape(shape)}`)
  return { op: 'reshape', input, shape }
}

export const reshapeOperation: Operation<ReshapeRecipe> = {
  operands: ({ input }) => [input],
  source: () => undefined,
  lossless: true,
  rowStep: (node, stepOf) => Math.max(1, Math.round((stepOf(node.input) * rowLength(node.input)) / rowLength(node))),
  async fill({ input, shape }, start, target, { fill, buffers }) {
    const inputLength = rowLength(input)
    const from = start * rowLength({ shape })
    const firstRow = Math.floor(from / inputLength)
    const lastRow = Math.ceil((from + target.length) / inputLength)
    const skipped = from - firstRow * inputLength
    if (skipped === 0 && (lastRow - firstRow) * inputLength === target.length) return fill(input, firstRow, target)
    const rows = buffers.floats((lastRow - firstRow) * inputLength)
    await fill(input, firstRow, rows)
    target.set(rows.subarray(skipped, skipped + target.length))
    buffers.release(rows)
  },
  read: (fields) => reshape(fields.recipe('input'), fields.shape('shape')),
}
