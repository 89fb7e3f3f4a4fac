import { elementCount, rowCount, rowLength } from './shape.js'
import type { Recipe } from './types.js'

/**
 * A number of rows such that ranges that start and end at its multiples read and compute little twice: the rows of an fp8 block, of a
 * head, of a matrix to be transposed. At least 1, at most rowCount(recipe).
 */
export function preferredRowStep(recipe: Recipe): number {
  return Math.min(step(recipe), Math.max(1, rowCount(recipe)))
}

function step(recipe: Recipe): number {
  switch (recipe.op) {
    case 'plain':
    case 'ggml':
      return 1
    case 'block-scale':
      return recipe.blockRows
    case 'interleave-halves':
      return leastCommonMultiple((recipe.shape[0] ?? 1) / recipe.heads, step(recipe.input))
    case 'reshape':
      return Math.max(1, Math.round((step(recipe.input) * rowLength(recipe.input)) / rowLength(recipe)))
    case 'slice':
      // A whole run of the input that follows itself without a gap.
      return elementCount(recipe.shape.slice(recipe.axis, -1))
    case 'transpose':
      return rowLength(recipe.input)
    case 'stack':
    case 'concat':
      return step(recipe.inputs[0] as Recipe)
    case 'add':
      return step(recipe.input)
    case 'constant':
      return rowCount(recipe)
  }
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b]
  while (y !== 0) [x, y] = [y, x % y]
  return (a / x) * b
}
