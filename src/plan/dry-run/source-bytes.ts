import type { Blueprint } from '../../model/index.js'
import type { Recipe } from '../../recipe/index.js'

/** Bytes of the source that a model's recipes read; what two tensors are made from is read for each. */
export function recipeBytes({ tensors }: Blueprint): number {
  return tensors.reduce((sum, { recipe }) => sum + bytesOf(recipe), 0)
}

function bytesOf(recipe: Recipe): number {
  switch (recipe.op) {
    case 'plain':
    case 'ggml':
      return recipe.range.end - recipe.range.start
    case 'block-scale':
      return bytesOf(recipe.weight) + bytesOf(recipe.scale)
    case 'stack':
    case 'concat':
      return recipe.inputs.reduce((sum, input) => sum + bytesOf(input), 0)
    case 'constant':
      return 0
    default:
      return bytesOf(recipe.input)
  }
}
