import {
  type Measure,
  type NamedRecipe,
  parseTensorTypes,
  planPreset,
  planRecipe,
  planType,
  writableTypes,
} from './allocate/index.js'
import type { Blueprint } from './blueprint.js'
import { MqError } from './errors.js'
import type { Plan } from './plan.js'
import { type BudgetRequest, planBudget } from './plan-budget.js'
import type { WithProgress } from './progress.js'
import { checkPlan, chooseDampings, type DampingTrials, type Importance, type KnownInputs } from './quantize/index.js'
import { planMeasured } from './sensitivity/index.js'

/** What a user asks of a plan: a budget, or exactly one of these. */
export interface PlanRequest extends BudgetRequest {
  /** A mixture of llama.cpp, such as `Q4_K_M`. */
  readonly preset?: string | undefined
  /** A mixture written down in a file. */
  readonly recipe?: NamedRecipe | undefined
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
  /** What is found out of how much tensors matter: see calibrations. By default `fast`. */
  readonly calibrate?: Calibrate
  /** What a full calibration judges on. */
  readonly text?: string
  /** Where a full calibration keeps its probes; by default in the user's cache folder. */
  readonly cacheFolder?: string
  /** Dampings that plans of the same model and calibration have tried. */
  readonly trials?: DampingTrials
  readonly signal?: AbortSignal
}

/**
 * How much is found out before a budget is shared out. none: what roles are known for, and the error of the weights. fast: the error of the
 * outputs, and what part of the residual stream each block writes, as a calibration file has them. full: the model is run, with one group
 * of tensors after the other at full precision, and the best of several plans is kept.
 */
export type Calibrate = (typeof calibrations)[number]
export const calibrations = ['none', 'fast', 'full'] as const

/**
 * The plan that a user asks for; only a budget and a calibration measure, the rest is there at once.
 * @throws MqError USAGE, PLAN_MISMATCH, PRESET_UNKNOWN, RECIPE_INVALID, FLAG_INVALID, FLAGS_CONFLICT, BUDGET_IMPOSSIBLE,
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
  const { preset, recipe, type, plan, tensorTypes = [] } = request
  const writable = await writableTypes()
  const overrides = parseTensorTypes(tensorTypes)
  const { calibrate = 'fast', text = '', calibration, ...rest } = options
  const unused = calibrate === 'none' || (calibration?.weightsAlone === true && options.damping === 0)
  const choice = { overrides, writable, ...rest, ...(unused || calibration === undefined ? {} : { calibration }) }
  const budgeted =
    calibrate === 'full' && isBudget(request)
      ? yield* planMeasured(blueprint, (more) => definitely(planBudget(blueprint, request, { ...choice, ...more })), {
          ...choice,
          text,
        })
      : yield* planBudget(blueprint, request, choice)
  if (budgeted !== undefined) return budgeted
  const importance = options.importance !== undefined
  if (preset !== undefined) return planPreset(blueprint, preset, { overrides, writable, importance })
  if (recipe !== undefined) return planRecipe(blueprint, recipe, { overrides, writable, importance })
  if (type !== undefined) return planType(blueprint, type, { overrides, writable })
  if (plan !== undefined) return checkPlan(plan, blueprint)
  throw MqError.of('USAGE', { problem: 'nothing says how small the model is to be', command: 'quantize' })
}

function isBudget({ bits, size, fit }: BudgetRequest): boolean {
  return bits !== undefined || size !== undefined || fit !== undefined
}

async function* definitely(work: WithProgress<Plan | undefined>): WithProgress<Plan> {
  return (yield* work) as Plan
}

/** What to call the mix of types in a file's name: `Q4_K_M`, `2.51bpw`, `212GB`. */
export function encodingOf({ bits, size, fit, preset, recipe, type, plan }: PlanRequest): string {
  if (bits !== undefined) return `${bits}bpw`
  const asked = size ?? fit
  if (asked !== undefined) return asked.text.replaceAll(/\s/g, '')
  if (recipe !== undefined) return recipe.name
  const name = preset ?? type ?? /^--(?:preset|type) (\w+)/.exec(plan?.goal ?? '')?.[1]
  return name?.toUpperCase() ?? `${plan?.bitsPerWeight.toFixed(2)}bpw`
}
