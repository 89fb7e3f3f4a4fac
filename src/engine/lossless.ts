import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { Recipe } from '../recipe/index.js'

/** Whether a tensor is in its final form already: the blocks of a GGUF file, in the type that it is to have. */
export function isCopy(recipe: Recipe, type: GgmlTypeName): boolean {
  return recipe.op === 'ggml' && recipe.type === type
}

/** Whether a type holds every value of a recipe exactly, so that there is no error to measure. */
export function storesExactly(type: GgmlTypeName, recipe: Recipe): boolean {
  return type === 'F32' || ((type === 'F16' || type === 'BF16') && onlyMoves(type, recipe))
}

/** Whether a recipe does nothing to values of this type but put them elsewhere. */
function onlyMoves(type: 'F16' | 'BF16', recipe: Recipe): boolean {
  switch (recipe.op) {
    case 'plain':
      return recipe.dtype === type
    case 'ggml':
      return recipe.type === type
    case 'reshape':
    case 'slice':
    case 'transpose':
    case 'interleave-halves':
      return onlyMoves(type, recipe.input)
    case 'stack':
    case 'concat':
      return recipe.inputs.every((input) => onlyMoves(type, input))
    case 'block-scale':
    case 'add':
    case 'constant':
      return false
  }
}
