import { MqError } from '../../errors/index.js'
import type { Blueprint } from '../../model/index.js'
import type { Plan } from '../plan.js'
import { assemblePlan } from './assemble.js'
import { fixedType, storedOrFallback } from './assignment.js'
import { isFloatType, type Writable } from './candidates.js'
import { matchTensorTypes, specsOf, type TensorTypeOverride, unknownType, weightType } from './tensor-types.js'

/** Exceptions to a type for all tensors. */
export interface PlanTypeOptions {
  readonly overrides?: readonly TensorTypeOverride[]
  /** Whether a type can be written; by default all can. */
  readonly writable?: Writable
}

/**
 * Every tensor in one type, as `llama-quantize --pure` does: but F32 where the model needs it, and the nearest type that fits where rows
 * are not whole blocks.
 * @param type its name, such as `Q4_K`, in any case.
 * @throws MqError OPTION_INVALID.
 */
export function planType(blueprint: Blueprint, type: string, options: PlanTypeOptions = {}): Plan {
  const { overrides = [], writable = () => true } = options
  const asked = weightType(type)
  if (asked === undefined || !(isFloatType(asked) || writable(asked))) {
    throw MqError.of('OPTION_INVALID', { option: 'type', value: type, problem: unknownType(type, writable) })
  }
  const matches = matchTensorTypes(blueprint, overrides, writable)
  return assemblePlan(
    blueprint,
    (tensor) => fixedType(tensor, matches) ?? storedOrFallback(asked, tensor, `All weights are ${asked}`),
    {
      goal: { kind: 'type', type: asked, ...specsOf(overrides) },
      notes: [],
    },
  )
}
