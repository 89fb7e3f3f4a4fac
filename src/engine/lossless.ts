import type { GgmlTypeName } from '../../formats/ggml/types.js'
import { onlyMoves, type Recipe } from '../recipe/index.js'

/** Whether a tensor is in its final form already: the blocks of a GGUF file, in the type that it is to have. */
export function isCopy(recipe: Recipe, type: GgmlTypeName): boolean {
  return recipe.op === 'ggml' && recipe.type === type
}

/** Whether a type holds every value of a recipe exactly, so that there is no error to measure. */
export function storesExactly(type: GgmlTypeName, recipe: Recipe): boolean {
  return type === 'F32' || ((type === 'F16' || type === 'BF16') && onlyMoves(type, recipe))
}
