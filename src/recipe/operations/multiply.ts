import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'

/** Every value times a constant (Falcon-H1's multipliers). Both are f32, and so is the product. */
export interface MultiplyRecipe {
  readonly op: 'multiply'
  readonly input: Recipe
  readonly value: number
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly multiply: MultiplyRecipe
  }
}

/** Every value times a constant, which is rounded to f32 first, as torch does. */
export function multiply(input: Recipe, value: number): MultiplyRecipe {
  return { op: 'multiply', input, value: Math.fround(value), shape: input.shape }
}

export const multiplyOperation: Operation<MultiplyRecipe> = {
  operands: ({ input }) => [input],
  source: () => undefined,
  lossless: false,
  rowStep: ({ input }, stepOf) => stepOf(input),
  async fill({ input, value }, start, target, { fill }) {
    await fill(input, start, target)
    for (let i = 0; i < target.length; i++) target[i] = (target[i] as number) * value
  },
  read: (fields) => multiply(fields.recipe('input'), fields.number('value')),
}
