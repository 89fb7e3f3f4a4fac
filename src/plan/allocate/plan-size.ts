import { defaultAlignment } from '../../../formats/gguf/index.js'
import { MqError } from '../../errors/index.js'
import type { Blueprint } from '../../model/index.js'
import type { WithProgress } from '../../progress/index.js'
import type { PlanGoal } from '../goal.js'
import { plannedBytes } from '../output-layout.js'
import type { Plan } from '../plan.js'
import { type ChoiceOptions, chooseTypes, measureGroups } from './plan-bytes.js'
import { sizeConstraintsOf } from './size-constraints.js'
import { groupTensors } from './tensor-groups.js'
import { writableTypes } from './writable-types.js'

/** A size of the finished file, header, metadata and padding included. */
export interface SizeBudget {
  /** Of the file, or of all shards together. Never exceeded. */
  readonly fileBytes: number
  /** Where the file is to be split. */
  readonly splitMaxBytes?: number
  readonly goal: PlanGoal
  /** The budget as a message names it, such as `212GB`. */
  readonly asked: string
}

/**
 * A type for every tensor, such that the expected KL divergence is least and the file is as large as asked, never larger: see planBytes.
 * @throws MqError BUDGET_IMPOSSIBLE, OPTION_INVALID, and what `measure` throws.
 */
export async function* planSize(blueprint: Blueprint, budget: SizeBudget, options: ChoiceOptions = {}): WithProgress<Plan> {
  const { fileBytes, splitMaxBytes, goal, asked } = budget
  const alignment = defaultAlignment
  const writable = options.writable ?? (await writableTypes())
  const groups = groupTensors(blueprint, { ...options, alignment, writable })
  const sizeOf = (plan: Plan): number => plannedBytes(blueprint, plan, splitMaxBytes)
  const choose = (bytes: number, errors: Parameters<typeof chooseTypes>[2]): Plan =>
    chooseTypes(blueprint, groups, errors, { bytes, goal, asked }, { ...options, alignment })
  const minFileBytes = sizeOf(choose(groups.minBytes, new Map()))
  if (minFileBytes > fileBytes) {
    throw MqError.of('BUDGET_IMPOSSIBLE', {
      asked,
      least: roundedUp(minFileBytes),
      ...sizeConstraintsOf(blueprint, groups, { ...options, alignment, writable }),
    })
  }
  const errors = yield* measureGroups(blueprint, groups, options)
  let bytes = fileBytes - (minFileBytes - groups.minBytes)
  for (;;) {
    const plan = choose(bytes, errors)
    const excess = sizeOf(plan) - fileBytes
    // More shards than those of the smallest plan have more headers.
    if (excess <= 0) return plan
    bytes = Math.max(groups.minBytes, bytes - excess)
  }
}

/** A size in KB, MB or GB with two decimals, rounded up. */
export function roundedUp(bytes: number): string {
  const [unit, name] = bytes >= 1e9 ? [1e9, 'GB'] : bytes >= 1e6 ? [1e6, 'MB'] : [1e3, 'KB']
  return `${Math.ceil((100 * bytes) / unit) / 100}${name}`
}
