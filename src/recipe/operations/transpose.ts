import { fillParts, type Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { rowLength, showShape } from '../shape.js'

/** The last two dimensions exchanged. */
export interface TransposeRecipe {
  readonly op: 'transpose'
  readonly input: Recipe
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly transpose: TransposeRecipe
  }
}

/** The last two dimensions exchanged. @throws RangeError where there are no two. */
export function transpose(input: Recipe): TransposeRecipe {
  const [columns, rows, ...outer] = input.shape.toReversed()
  if (columns === undefined || rows === undefined) throw new RangeError(`transpose of ${showShape(input.shape)}`)
  return { op: 'transpose', input, shape: [...outer.reverse(), columns, rows] }
}

/** Values of the input that are held at once. */
const valuesAtOnce = 1 << 20

export const transposeOperation: Operation<TransposeRecipe> = {
  operands: ({ input }) => [input],
  source: () => undefined,
  lossless: true,
  rowStep: ({ input }) => rowLength(input),
  async fill({ input, shape }, start, target, { fill, buffers }) {
    const length = rowLength({ shape })
    const inputLength = rowLength(input)
    const step = Math.max(1, Math.floor(valuesAtOnce / inputLength))
    await fillParts(start, inputLength, length, target, async (matrix, first, columns) => {
      const end = first + columns.length / length
      for (let row = 0; row < length; row += step) {
        const count = Math.min(step, length - row)
        const rows = buffers.floats(count * inputLength)
        await fill(input, matrix * length + row, rows)
        for (let column = first; column < end; column++) {
          const to = (column - first) * length + row
          for (let i = 0, at = column; i < count; i++, at += inputLength) columns[to + i] = rows[at] as number
        }
        buffers.release(rows)
      }
    })
  },
  read: (fields) => transpose(fields.recipe('input')),
}
