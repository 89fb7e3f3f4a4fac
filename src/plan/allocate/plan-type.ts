import { findGgmlType } from '../../../formats/ggml/types.js'
import { MqError } from '../../errors/index.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import type { Plan } from '../plan.js'
import { type Assignment, assemblePlan, goalOf, keptReason } from './assemble.js'
import { isWide, type Writable } from './candidates.js'
import { fittingType, matchTensorTypes, type TensorTypeOverride } from './tensor-types.js'

export interface PlanTypeOptions {
  readonly overrides?: readonly TensorTypeOverride[]
  /** Whether a type can be written; by default all can. */
  readonly writable?: Writable
}

/**
 * Every tensor in one type, as `llama-quantize --pure` does: but F32 where the model needs it, and the nearest type that fits where rows
 * are not whole blocks.
 * @param type its name, such as `Q4_K`, in any case.
 * @throws MqError FLAG_INVALID.
 */
export function planType(blueprint: Blueprint, type: string, options: PlanTypeOptions = {}): Plan {
  const { overrides = [], writable = () => true } = options
  const asked = findGgmlType(type)?.name
  if (asked === undefined || !(isWide(asked) || writable(asked))) {
    throw MqError.of('FLAG_INVALID', {
      flag: 'type',
      value: type,
      problem: 'it is not a type for weights',
      command: 'quantize',
    })
  }
  const matches = matchTensorTypes(blueprint, overrides, writable)
  const assign = (tensor: BlueprintTensor): Assignment => {
    if (tensor.keepF32) return { type: 'F32', reason: keptReason }
    const override = matches.get(tensor.name)
    const wanted = override?.type ?? asked
    const fitting = fittingType(wanted, tensor)
    const why = override === undefined ? `All weights are ${asked}` : `Set by --tensor-type ${override.spec}`
    return { type: fitting, reason: fitting === wanted ? `${why}.` : `${why}, as near as its rows allow.` }
  }
  return assemblePlan(blueprint, assign, { goal: goalOf(`--type ${asked}`, overrides), notes: [] })
}
