import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'

/** A constant added to every value (Gemma's norm + 1). */
export interface AddRecipe {
  readonly op: 'add'
  readonly input: Recipe
  readonly value: number
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly add: AddRecipe
  }
}

/** A constant added to every value. */
export function add(input: Recipe, value: number): AddRecipe {
  return { op: 'add', input, value, shape: input.shape }
}

export const addOperation: Operation<AddRecipe> = {
  operands: ({ input }) => [input],
  source: () => undefined,
  lossless: false,
  rowStep: ({ input }, stepOf) => stepOf(input),
  async fill({ input, value }, start, target, { fill }) {
    await fill(input, start, target)
    for (let i = 0; i < target.length; i++) target[i] = (target[i] as number) + value
  },
  read: (fields) => add(fields.recipe('input'), fields.number('value')),
}
