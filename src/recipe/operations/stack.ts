import { fillParts, type Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { rowCount, rowLength, sameShape } from '../shape.js'

/** Equal shapes one after the other under a new first dimension: experts. */
export interface StackRecipe {
  readonly op: 'stack'
  readonly inputs: readonly Recipe[]
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly stack: StackRecipe
  }
}

/** Equal shapes one after the other under a new first dimension. @throws RangeError for unequal shapes, or none. */
export function stack(inputs: readonly Recipe[]): StackRecipe {
  const [first] = inputs
  if (first === undefined || !inputs.every(({ shape }) => sameShape(shape, first.shape))) throw new RangeError('unequal shapes')
  return { op: 'stack', inputs, shape: [inputs.length, ...first.shape] }
}

export const stackOperation: Operation<StackRecipe> = {
  operands: ({ inputs }) => inputs,
  source: () => undefined,
  lossless: true,
  rowStep: ({ inputs }, stepOf) => stepOf(inputs[0] as Recipe),
  fill(node, start, target, { fill }) {
    const { inputs } = node
    return fillParts(start, rowCount(inputs[0] as Recipe), rowLength(node), target, (part, row, rows) =>
      fill(inputs[part] as Recipe, row, rows),
    )
  },
  read: (fields) => stack(fields.recipes('inputs')),
}
