import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { elementCount, showShape } from '../shape.js'

/** Entries of a table, a vector: value = table[input]. Numbers outside of it give NaN. */
export interface LookupRecipe {
  readonly op: 'lookup'
  readonly input: Recipe
  readonly table: Recipe
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly lookup: LookupRecipe
  }
}

/** @throws RangeError where the table is no vector of at most 65536 entries. */
export function lookup(input: Recipe, table: Recipe): LookupRecipe {
  if (table.shape.length !== 1 || elementCount(table.shape) > 65_536) throw new RangeError(`a table ${showShape(table.shape)}`)
  return { op: 'lookup', input, table, shape: input.shape }
}

export const lookupOperation: Operation<LookupRecipe> = {
  operands: ({ input, table }) => [input, table],
  source: () => undefined,
  lossless: false,
  rowStep: ({ input }, stepOf) => stepOf(input),
  async fill({ input, table }, start, target, { fill, buffers }) {
    const values = buffers.floats(elementCount(table.shape))
    await Promise.all([fill(table, 0, values), fill(input, start, target)])
    for (let at = 0; at < target.length; at++) target[at] = values[target[at] as number] ?? Number.NaN
    buffers.release(values)
  },
  read: (fields) => lookup(fields.recipe('input'), fields.recipe('table')),
}
