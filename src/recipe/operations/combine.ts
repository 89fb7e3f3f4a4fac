import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { sameShape, showShape } from '../shape.js'

const kinds = ['sum', 'difference', 'product', 'quotient'] as const

/** Two recipes of one shape, value by value, each result rounded to f32. */
export interface CombineRecipe {
  readonly op: 'combine'
  readonly by: (typeof kinds)[number]
  readonly left: Recipe
  readonly right: Recipe
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly combine: CombineRecipe
  }
}

/** @throws RangeError where the shapes differ. */
export function combine(by: CombineRecipe['by'], left: Recipe, right: Recipe): CombineRecipe {
  if (!sameShape(left.shape, right.shape)) throw new RangeError(`${by} of ${showShape(left.shape)} and ${showShape(right.shape)}`)
  return { op: 'combine', by, left, right, shape: left.shape }
}

export const combineOperation: Operation<CombineRecipe> = {
  operands: ({ left, right }) => [left, right],
  source: () => undefined,
  lossless: false,
  rowStep: ({ left, right }, stepOf) => Math.max(stepOf(left), stepOf(right)),
  async fill({ by, left, right }, start, target, { fill, buffers }) {
    const others = buffers.floats(target.length)
    await Promise.all([fill(left, start, target), fill(right, start, others)])
    const { length } = target
    if (by === 'sum') for (let at = 0; at < length; at++) target[at] = (target[at] as number) + (others[at] as number)
    else if (by === 'difference') for (let at = 0; at < length; at++) target[at] = (target[at] as number) - (others[at] as number)
    else if (by === 'product') for (let at = 0; at < length; at++) target[at] = (target[at] as number) * (others[at] as number)
    else for (let at = 0; at < length; at++) target[at] = (target[at] as number) / (others[at] as number)
    buffers.release(others)
  },
  read: (fields) => combine(fields.oneOf('by', kinds), fields.recipe('left'), fields.recipe('right')),
}
