import { MqError } from '../../errors/index.js'
import type { Blueprint } from '../../model/index.js'
import type { WithProgress } from '../../progress/index.js'
import type { Plan } from '../plan.js'
import { countElements, goalOf } from './assemble.js'
import { type Budget, type ChoiceOptions, planBytes } from './plan-bytes.js'

export interface PlanBitsOptions extends ChoiceOptions {
  /** Bits per weight of the file, 8 * bytes of all tensors / their elements, never exceeded. */
  readonly bits: number
}

/**
 * A type for every tensor, such that the expected damage is least within a number of bits per weight: see planBytes.
 * @throws MqError BUDGET_IMPOSSIBLE, FLAG_INVALID, and what `measure` throws.
 */
export async function* planBits(blueprint: Blueprint, options: PlanBitsOptions): WithProgress<Plan> {
  return yield* planBytes(blueprint, bitsBudget(blueprint, options), options)
}

/** The budget of a number of bits per weight. @throws MqError FLAG_INVALID. */
export function bitsBudget({ tensors }: Blueprint, { bits, overrides = [] }: PlanBitsOptions): Budget {
  if (!(bits > 0 && Number.isFinite(bits))) {
    throw MqError.of('FLAG_INVALID', { flag: 'bits', value: bits, problem: 'it is not a positive number', command: 'plan' })
  }
  const bytes = Math.floor((bits * countElements(tensors)) / 8)
  return { bytes, goal: goalOf(`--bits ${bits}`, overrides), asked: `${bits} bits per weight` }
}
