import { defaultAlignment } from '../../../formats/gguf/index.js'
import { MqError } from '../../errors/index.js'
import type { Blueprint } from '../../model/index.js'
import type { WithProgress } from '../../progress/index.js'
import type { PlanGoal } from '../goal.js'
import { plannedBytes } from '../output-layout.js'
import type { Plan } from '../plan.js'
import { obstaclesOf } from './obstacles.js'
import { openTensors } from './open-tensors.js'
import { type ChoiceOptions, chooseTypes, measureOpen } from './plan-bytes.js'
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
  const open = openTensors(blueprint, { ...options, alignment, writable })
  const sizeOf = (plan: Plan): number => plannedBytes(blueprint, plan, splitMaxBytes)
  const choose = (bytes: number, errors: Parameters<typeof chooseTypes>[2]): Plan =>
    chooseTypes(blueprint, open, errors, { bytes, goal, asked }, { ...options, alignment })
  const leastFile = sizeOf(choose(open.leastBytes, new Map()))
  if (leastFile > fileBytes) {
    throw MqError.of('BUDGET_IMPOSSIBLE', {
      asked,
      least: roundedUp(leastFile),
      ...obstaclesOf(blueprint, open, { ...options, writable }),
    })
  }
  const errors = yield* measureOpen(blueprint, open, options)
  let bytes = fileBytes - (leastFile - open.leastBytes)
  for (;;) {
    const plan = choose(bytes, errors)
    const excess = sizeOf(plan) - fileBytes
    // More shards than the least plan's have more headers.
    if (excess <= 0) return plan
    bytes = Math.max(open.leastBytes, bytes - excess)
  }
}

/** A size that is never less than the bytes, as people write it. */
export function roundedUp(bytes: number): string {
  const [unit, name] = bytes >= 1e9 ? [1e9, 'GB'] : bytes >= 1e6 ? [1e6, 'MB'] : [1e3, 'KB']
  return `${Math.ceil((100 * bytes) / unit) / 100}${name}`
}
