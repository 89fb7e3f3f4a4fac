import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { rowCount, rowLength, sameShape, showShape } from '../shape.js'

/**
 * Rows of `input` times magnitude / norm, where the norm is the Euclidean one of the same row of `normed`, or of the input itself: weights
 * whose magnitude and direction were trained apart (DoRA). The factor is rounded to f32, then the products are.
 */
export interface RowMagnitudeRecipe {
  readonly op: 'row-magnitude'
  readonly input: Recipe
  /** A vector with one entry for each row. */
  readonly magnitude: Recipe
  readonly normed?: Recipe
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly 'row-magnitude': RowMagnitudeRecipe
  }
}

/** @throws RangeError where the shapes do not fit. */
export function rowMagnitude(input: Recipe, magnitude: Recipe, normed?: Recipe): RowMagnitudeRecipe {
  const fits = input.shape.length === 2 && sameShape(magnitude.shape, [rowCount(input)])
  if (!fits || (normed !== undefined && !sameShape(normed.shape, input.shape))) {
    throw new RangeError(`magnitudes ${showShape(magnitude.shape)} of rows of ${showShape(input.shape)}`)
  }
  return { op: 'row-magnitude', input, magnitude, ...(normed === undefined ? {} : { normed }), shape: input.shape }
}

export const rowMagnitudeOperation: Operation<RowMagnitudeRecipe> = {
  operands: ({ input, magnitude, normed }) => [input, magnitude, ...(normed === undefined ? [] : [normed])],
  source: () => undefined,
  lossless: false,
  rowStep: ({ input }, stepOf) => stepOf(input),
  async fill(node, start, target, { fill, buffers }) {
    const { input, magnitude, normed } = node
    const length = rowLength(node)
    const magnitudes = buffers.floats(rowLength(magnitude))
    await fill(magnitude, 0, magnitudes)
    await fill(input, start, target)
    const others = normed === undefined ? target : buffers.floats(target.length)
    if (normed !== undefined) await fill(normed, start, others)
    for (let at = 0, row = start; at < target.length; at += length, row++) {
      let sum = 0
      for (let i = at; i < at + length; i++) sum += (others[i] as number) ** 2
      const factor = Math.fround((magnitudes[row] as number) / Math.fround(Math.sqrt(sum)))
      for (let i = at; i < at + length; i++) target[i] = (target[i] as number) * factor
    }
    if (normed !== undefined) buffers.release(others)
    buffers.release(magnitudes)
  },
  read: (fields) => rowMagnitude(fields.recipe('input'), fields.recipe('magnitude'), fields.optionalRecipe('normed')),
}
