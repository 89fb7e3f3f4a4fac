import type { Importance, KnownInputs } from '../engine/index.js'
import { MqError } from '../errors/index.js'
import type { Blueprint } from '../model/index.js'
import type { WithProgress } from '../progress/index.js'
import {
  type Measure,
  type Mixture,
  parseTensorTypes,
  planMixture,
  planPreset,
  planType,
  writableTypes,
} from './allocate/index.js'
import { checkPlan } from './check-plan.js'
import { chooseDampings, type DampingTrials } from './dampings.js'
import type { Plan } from './plan.js'
import { type BudgetRequest, planBudget } from './plan-budget.js'

/** What a user asks of a plan: a budget, or exactly one of these. */
export interface PlanRequest extends BudgetRequest {
  /** A mixture of llama.cpp, such as `Q4_K_M`. */
  readonly preset?: string | undefined
  /** A mixture written down in a file. */
  readonly mixture?: Mixture | undefined
  /** One type for all, such as `Q4_K`. */
  readonly type?: string | undefined
  /** A plan made before. */
  readonly plan?: Plan | undefined
}

export interface PlanningOptions {
  readonly threads?: number
  readonly memoryBytes?: number
  readonly importance?: Importance
  /** With it the plan says how error feedback is damped. */
  readonly calibration?: KnownInputs
  /** For all tensors, instead of choosing on what the calibration holds out; 0 is no feedback. */
  readonly damping?: number
  /** How errors are found; by default on the weights themselves. */
  readonly measure?: Measure
  /** How sensitivity is estimated for bit allocation: see sensitivityEstimates. By default `fast`. */
  readonly calibrate?: SensitivityEstimate
  /** Dampings that plans of the same model and calibration have tried. */
  readonly trials?: DampingTrials
  readonly signal?: AbortSignal
}

/**
 * How sensitivity is estimated for bit allocation. none: from role weights and the error of the weights alone. fast: from the error of the
 * outputs and each block's share of the residual stream, which a calibration file holds.
 */
export type SensitivityEstimate = (typeof sensitivityEstimates)[number]
export const sensitivityEstimates = ['none', 'fast'] as const

/**
 * The plan that a user asks for; only a budget and a calibration measure, the rest is there at once.
 * @throws MqError USAGE, PLAN_MISMATCH, PRESET_UNKNOWN, MIXTURE_INVALID, FLAG_INVALID, FLAGS_CONFLICT, BUDGET_IMPOSSIBLE,
 * FOOTPRINT_UNKNOWN, and what measuring throws.
 */
export async function* makePlan(blueprint: Blueprint, request: PlanRequest, options: PlanningOptions = {}): WithProgress<Plan> {
  const { calibration } = options
  const plan = yield* withTypes(blueprint, request, options)
  if (calibration === undefined) return plan
  const others = plan.calibration !== undefined && plan.calibration !== calibration.digest && calibration.weightsAlone !== true
  const damped = yield* chooseDampings(blueprint, plan, { ...options, calibration })
  return others ? { ...damped, notes: [...damped.notes, othersNote] } : damped
}

const othersNote = 'The plan was made with another calibration: its types and dampings may not suit this one.'

async function* withTypes(blueprint: Blueprint, request: PlanRequest, options: PlanningOptions): WithProgress<Plan> {
  const { preset, mixture, type, plan, tensorTypes = [] } = request
  const writable = await writableTypes()
  const overrides = parseTensorTypes(tensorTypes)
  const { calibrate = 'fast', calibration, ...rest } = options
  const unused = calibrate === 'none' || (calibration?.weightsAlone === true && options.damping === 0)
  const choice = { overrides, writable, ...rest, calibration: unused ? undefined : calibration }
  const budgeted = yield* planBudget(blueprint, request, choice)
  if (budgeted !== undefined) return budgeted
  const importance = options.importance !== undefined
  if (preset !== undefined) return planPreset(blueprint, preset, { overrides, writable, importance })
  if (mixture !== undefined) return planMixture(blueprint, mixture, { overrides, writable, importance })
  if (type !== undefined) return planType(blueprint, type, { overrides, writable })
  if (plan !== undefined) return checkPlan(plan, blueprint)
  throw MqError.of('USAGE', {
    problem: 'one of --bits, --size, --fit, --preset, --mixture, --type and --plan is needed',
    command: 'quantize',
  })
}

/** What to call the mix of types in a file's name: `Q4_K_M`, `2.51bpw`, `212GB`. */
export function encodingOf({ bits, size, fit, preset, mixture, type, plan }: PlanRequest): string {
  if (bits !== undefined) return `${bits}bpw`
  const asked = size ?? fit
  if (asked !== undefined) return asked.text.replaceAll(/\s/g, '')
  if (mixture !== undefined) return mixture.name
  const name = preset ?? type ?? /^--(?:preset|type) (\w+)/.exec(plan?.goal ?? '')?.[1]
  return name?.toUpperCase() ?? `${plan?.bitsPerWeight.toFixed(2)}bpw`
}
