import { fileTypes } from '../../formats/gguf/index.js'
import type { Blueprint } from '../model/index.js'
import { assemblePlan } from './allocate/assemble.js'
import { fixedType, storedOrFallback } from './allocate/assignment.js'
import type { Plan } from './plan.js'

/** Types that a whole model can be converted to without measuring. */
export type UniformType = 'F32' | 'F16' | 'BF16' | 'Q8_0'

/**
 * The plan of a plain conversion: every tensor in one type, but F32 where the model needs it and F16 where rows are not whole blocks.
 * The rules are those of llama.cpp's converter: what a checkpoint has in MXFP4 stays so, and there is no error feedback: all dampings are 0.
 */
export function planUniform(blueprint: Blueprint, type: UniformType): Plan {
  const plan = assemblePlan(
    blueprint,
    (tensor) => fixedType(tensor) ?? storedOrFallback(type, tensor, `All weights are ${type}`),
    {
      goal: { kind: 'type', type },
      fileType: fileTypes[blueprint.tensors.some(({ storedType }) => storedType === 'MXFP4') ? 'MXFP4_MOE' : type],
      notes: blueprint.notes,
    },
  )
  return { ...plan, tensors: plan.tensors.map((line) => ({ ...line, damping: 0 })) }
}
