import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { Blueprint } from '../blueprint.js'
import type { Plan } from '../plan.js'
import type { Recipe } from '../recipe/index.js'

const floats: ReadonlySet<GgmlTypeName> = new Set(['F32', 'F16', 'BF16', 'F64'])

/** Whether a tensor is in its final form already: the blocks of a GGUF file, in the type that it is to have. */
export function isCopy(recipe: Recipe, type: GgmlTypeName): boolean {
  return recipe.op === 'ggml' && recipe.type === type
}

/** Says so where a plan quantizes what is quantized already. */
export function requantizedNotes({ tensors }: Blueprint, plan: Plan): string[] {
  const types = new Map(plan.tensors.map(({ name, type }) => [name, type]))
  const lossy = tensors.flatMap(({ name, recipe }) => {
    const type = types.get(name)
    return type !== undefined && recipe.op === 'ggml' && !floats.has(recipe.type) && !floats.has(type) && recipe.type !== type
      ? [recipe.type]
      : []
  })
  if (lossy.length === 0) return []
  const from = [...new Set(lossy)].join(', ')
  return [
    `${lossy.length} tensors of the source are quantized already (${from}), and quantizing them again adds to their error: ` +
      'use the original checkpoint, or a GGUF in BF16, F16 or F32, where there is one.',
  ]
}
