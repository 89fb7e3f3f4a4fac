import type { GgmlTypeName } from '../../formats/ggml/types.js'
import { blocksOf, onlyMoves, type Recipe } from '../recipe/index.js'

/** Whether a tensor is copied: the source has its blocks in the target type. */
export function isCopy(recipe: Recipe, type: GgmlTypeName): boolean {
  return (recipe.op === 'ggml' && recipe.type === type) || blocksOf(recipe)?.type === type
}

/** Whether a type stores every value of a recipe without loss, so that there is no error to measure. */
export function isLossless(type: GgmlTypeName, recipe: Recipe): boolean {
  return type === 'F32' || ((type === 'F16' || type === 'BF16') && onlyMoves(type, recipe))
}
