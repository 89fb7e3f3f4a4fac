import {
  type NamedRecipe,
  parseTensorTypes,
  planBits,
  planPreset,
  planRecipe,
  planType,
  writableTypes,
} from './allocate/index.js'
import type { Blueprint } from './blueprint.js'
import { MqError } from './errors.js'
import type { Plan } from './plan.js'
import type { WithProgress } from './progress.js'
import { checkPlan, type Importance } from './quantize/index.js'

/** What a user asks of a plan: exactly one of the first five. */
export interface PlanRequest {
  /** Bits per weight, not to be exceeded. */
  readonly bits?: number | undefined
  /** A mixture of llama.cpp, such as `Q4_K_M`. */
  readonly preset?: string | undefined
  /** A mixture written down in a file. */
  readonly recipe?: NamedRecipe | undefined
  /** One type for all, such as `Q4_K`. */
  readonly type?: string | undefined
  /** A plan made before. */
  readonly plan?: Plan | undefined
  /** `REGEX=TYPE`: exceptions by name. */
  readonly tensorTypes?: readonly string[] | undefined
}

export interface PlanningOptions {
  readonly threads?: number
  readonly memoryBytes?: number
  readonly importance?: Importance
  readonly signal?: AbortSignal
}

/**
 * The plan that a user asks for; only `bits` measures, the others are there at once.
 * @throws MqError USAGE, PLAN_MISMATCH, PRESET_UNKNOWN, RECIPE_INVALID, FLAG_INVALID, BUDGET_IMPOSSIBLE, and what measuring throws.
 */
export async function* makePlan(
  blueprint: Blueprint,
  { bits, preset, recipe, type, plan, tensorTypes = [] }: PlanRequest,
  options: PlanningOptions = {},
): WithProgress<Plan> {
  const writable = await writableTypes()
  const overrides = parseTensorTypes(tensorTypes)
  if (bits !== undefined) return yield* planBits(blueprint, { bits, overrides, writable, ...options })
  const importance = options.importance !== undefined
  if (preset !== undefined) return planPreset(blueprint, preset, { overrides, writable, importance })
  if (recipe !== undefined) return planRecipe(blueprint, recipe, { overrides, writable, importance })
  if (type !== undefined) return planType(blueprint, type, { overrides, writable })
  if (plan !== undefined) return checkPlan(plan, blueprint)
  throw MqError.of('USAGE', { problem: 'nothing says how small the model is to be', command: 'quantize' })
}

/** What to call the mix of types in a file's name: `Q4_K_M`, `2.51bpw`. */
export function encodingOf({ bits, preset, recipe, type, plan }: PlanRequest): string {
  if (bits !== undefined) return `${bits}bpw`
  if (recipe !== undefined) return recipe.name
  const name = preset ?? type ?? /^--(?:preset|type) (\w+)/.exec(plan?.goal ?? '')?.[1]
  return name?.toUpperCase() ?? `${plan?.bitsPerWeight.toFixed(2)}bpw`
}
