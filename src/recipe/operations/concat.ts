import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { rowCount, rowLength, sameShape } from '../shape.js'

/** One after the other along the first dimension. */
export interface ConcatRecipe {
  readonly op: 'concat'
  readonly inputs: readonly Recipe[]
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly concat: ConcatRecipe
  }
}

/** One after the other along the first dimension. @throws RangeError where the other dimensions differ, or there are no inputs. */
export function concat(inputs: readonly Recipe[]): ConcatRecipe {
  const [first] = inputs
  const rest = first?.shape.slice(1)
  if (first?.shape[0] === undefined || rest === undefined) throw new RangeError('concat of nothing')
  if (!inputs.every(({ shape }) => shape.length > 0 && sameShape(shape.slice(1), rest))) throw new RangeError('unequal shapes')
  return { op: 'concat', inputs, shape: [inputs.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0), ...rest] }
}

export const concatOperation: Operation<ConcatRecipe> = {
  operands: ({ inputs }) => inputs,
  source: () => undefined,
  lossless: true,
  rowStep: ({ inputs }, stepOf) => stepOf(inputs[0] as Recipe),
  async fill({ inputs, shape }, start, target, { fill }) {
    // Vectors follow one another within the only row.
    const unit = shape.length === 1 ? 1 : rowLength({ shape })
    const end = start + target.length / unit
    let before = 0
    for (const input of inputs) {
      const rows = shape.length === 1 ? rowLength(input) : rowCount(input)
      const from = Math.max(start, before)
      const to = Math.min(end, before + rows)
      if (from < to) await fill(input, from - before, target.subarray((from - start) * unit, (to - start) * unit))
      before += rows
    }
  },
  read: (fields) => concat(fields.recipes('inputs')),
}
