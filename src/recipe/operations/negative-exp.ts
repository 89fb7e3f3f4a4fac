import { exponential } from '../exponential.js'
import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'

/** Minus the exponential of every value: the decay A of a state-space layer, from the A_log that checkpoints hold. */
export interface NegativeExpRecipe {
  readonly op: 'negative-exp'
  readonly input: Recipe
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly 'negative-exp': NegativeExpRecipe
  }
}

/** Minus the exponential of every value, as torch computes it. */
export function negativeExp(input: Recipe): NegativeExpRecipe {
  return { op: 'negative-exp', input, shape: input.shape }
}

export const negativeExpOperation: Operation<NegativeExpRecipe> = {
  operands: ({ input }) => [input],
  source: () => undefined,
  lossless: false,
  rowStep: ({ input }, stepOf) => stepOf(input),
  async fill({ input }, start, target, { fill }) {
    await fill(input, start, target)
    for (let i = 0; i < target.length; i++) target[i] = -exponential(target[i] as number)
  },
  read: (fields) => negativeExp(fields.recipe('input')),
}
