import type { Operation } from '../operation.js'
import type { Shape } from '../recipe.js'
import { elementCount, rowCount, rowLength, showShape } from '../shape.js'

/** Values computed from the configuration (rope factors), f32. */
export interface ConstantRecipe {
  readonly op: 'constant'
  readonly values: readonly number[]
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly constant: ConstantRecipe
  }
}

/** Values known beforehand; each is rounded to f32 when it is evaluated. @throws RangeError where the shape holds another number of them. */
export function constant(values: readonly number[], shape: Shape = [values.length]): ConstantRecipe {
  if (elementCount(shape) !== values.length) throw new RangeError(`${values.length} values as ${showShape(shape)}`)
  return { op: 'constant', values, shape }
}

export const constantOperation: Operation<ConstantRecipe> = {
  operands: () => [],
  source: () => undefined,
  lossless: false,
  rowStep: rowCount,
  async fill(node, start, target) {
    const from = start * rowLength(node)
    target.set(node.values.slice(from, from + target.length))
  },
  read: (fields) => constant(fields.numbers('values'), fields.shape('shape')),
}
