import { MqError } from '../../errors/index.js'
import type { Blueprint } from '../../model/index.js'
import type { WithProgress } from '../../progress/index.js'
import type { Plan } from '../plan.js'
import { countElements } from './assemble.js'
import { type Budget, type ChoiceOptions, planBytes } from './plan-bytes.js'
import { specsOf } from './tensor-types.js'

/** A budget of bits per weight. */
export interface PlanBitsOptions extends ChoiceOptions {
  /** Bits per weight of the file, 8 * bytes of all tensors / their elements, never exceeded. */
  readonly bits: number
}

/**
 * A type for every tensor, such that the expected KL divergence is least within a number of bits per weight: see planBytes.
 * @throws MqError BUDGET_IMPOSSIBLE, OPTION_INVALID, and what `measure` throws.
 */
export async function* planBits(blueprint: Blueprint, options: PlanBitsOptions): WithProgress<Plan> {
  const { bits, overrides = [] } = options
  return yield* planBytes(
    blueprint,
    { ...bitsBudget(blueprint, bits), goal: { kind: 'bits', bits, ...specsOf(overrides) } },
    options,
  )
}

/** The budget of a number of bits per weight. @throws MqError OPTION_INVALID. */
export function bitsBudget({ tensors }: Blueprint, bits: number): Omit<Budget, 'goal'> {
  if (!(bits > 0 && Number.isFinite(bits))) {
    throw MqError.of('OPTION_INVALID', { option: 'bits', value: bits, problem: 'it is not a positive number' })
  }
  return { bytes: Math.floor((bits * countElements(tensors)) / 8), asked: `${bits} bits per weight` }
}
