import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { rowLength, showShape } from '../shape.js'

/** Every `step`th entry of the last dimension but one, from `first` on: gates and up-projections that alternate. */
export interface StrideRowsRecipe {
  readonly op: 'stride-rows'
  readonly input: Recipe
  readonly first: number
  readonly step: number
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly 'stride-rows': StrideRowsRecipe
  }
}

/** @throws RangeError where the last dimension but one is no multiple of the step, or `first` is not below it. */
export function strideRows(input: Recipe, first: number, step: number): StrideRowsRecipe {
  const axis = input.shape.length - 2
  const size = input.shape[axis] ?? 0
  if (axis < 0 || step < 1 || size % step !== 0 || first < 0 || first >= step) {
    throw new RangeError(`each ${step}th row from ${first} of ${showShape(input.shape)}`)
  }
  return { op: 'stride-rows', input, first, step, shape: input.shape.with(axis, size / step) }
}

export const strideRowsOperation: Operation<StrideRowsRecipe> = {
  operands: ({ input }) => [input],
  source: () => undefined,
  lossless: true,
  rowStep: ({ input, step }, stepOf) => Math.max(1, Math.floor(stepOf(input) / step)),
  // Matrices hold whole steps, so that rows may be counted over all of them. Those between are read too: one long read is faster.
  async fill({ input, first, step }, start, target, { fill, buffers }) {
    const length = rowLength(input)
    const count = target.length / length
    if (count === 0) return
    const rows = buffers.floats(((count - 1) * step + 1) * length)
    await fill(input, start * step + first, rows)
    for (let row = 0; row < count; row++) {
      target.set(rows.subarray(row * step * length, (row * step + 1) * length), row * length)
    }
    buffers.release(rows)
  },
  read: (fields) => strideRows(fields.recipe('input'), fields.whole('first'), fields.count('step')),
}
