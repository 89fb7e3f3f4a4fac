import { MqError } from '../errors/index.js'
import { buffersOf, type RunOptions, shapeOrRefuse, tensorAlignment } from '../footprint/index.js'
import type { Blueprint } from '../model/index.js'
import type { WithProgress } from '../progress/index.js'
import {
  planBits,
  planBytes,
  planSize,
  readConstraints,
  roundedUp,
  type TensorTypeOverride,
  type Writable,
} from './allocate/index.js'
import type { PlanningOptions } from './make-plan.js'
import type { Plan } from './plan.js'

/** A size with the words that it was asked for in. */
export interface AskedSize {
  readonly bytes: number
  /** As it was written, such as `212GB`. */
  readonly text: string
}

/** Memory, and how the model is to run in it. */
export interface AskedFit extends AskedSize {
  readonly run: RunOptions
}

/** How small a model is to be, whatever types that takes: one of the first three. */
export interface BudgetRequest {
  /** Bits per weight, not to be exceeded. */
  readonly bits?: number | undefined
  /** Of the file, or of all shards, not to be exceeded. */
  readonly size?: AskedSize | undefined
  /** What the running model may take, not to be exceeded. */
  readonly fit?: AskedFit | undefined
  /** `ROLE=TYPE`: the least type of a role. */
  readonly floors?: readonly string[] | undefined
  /** `ROLE,ROLE`: roles that have one type within a layer. */
  readonly ties?: readonly string[] | undefined
  /** `REGEX=TYPE`: exceptions by name. */
  readonly tensorTypes?: readonly string[] | undefined
  /** Where the file is to be split, which a size reckons with. */
  readonly splitMaxBytes?: number | undefined
}

/** What planning has at hand besides the request. */
export interface BudgetOptions extends PlanningOptions {
  readonly overrides: readonly TensorTypeOverride[]
  readonly writable: Writable
}

/**
 * The plan of a budget; undefined where none is asked for.
 * @throws MqError FLAG_INVALID, FLAGS_CONFLICT, BUDGET_IMPOSSIBLE, FOOTPRINT_UNKNOWN, and what measuring throws.
 */
export async function* planBudget(
  blueprint: Blueprint,
  request: BudgetRequest,
  options: BudgetOptions,
): WithProgress<Plan | undefined> {
  const { bits, size, fit, floors = [], ties = [], splitMaxBytes } = request
  if (bits === undefined && size === undefined && fit === undefined) {
    if (floors.length + ties.length === 0) return undefined
    const problem = '--floor and --tie bound what a budget chooses: they need --bits, --size or --fit'
    throw MqError.of('FLAGS_CONFLICT', { problem, command: 'plan' })
  }
  const choice = { ...options, ...readConstraints(blueprint, { floors, ties }, options.writable) }
  const goal = goalOf(request)
  if (size !== undefined) {
    return yield* planSize(blueprint, { fileBytes: size.bytes, splitMaxBytes, goal, asked: size.text }, choice)
  }
  if (fit !== undefined) {
    return yield* planBytes(blueprint, { ...fitBudget(blueprint, fit), goal }, { ...choice, alignment: tensorAlignment })
  }
  return { ...(yield* planBits(blueprint, { ...choice, bits: bits as number })), goal }
}

/** What is left of the memory for weights, once cache and buffers have theirs. */
function fitBudget(
  blueprint: Blueprint,
  { bytes, text, run }: AskedFit,
): { readonly bytes: number; readonly asked: string; readonly describeLeast: (leastBytes: number) => string } {
  const { kvCacheBytes, computeBytes, outputBytes } = buffersOf(shapeOrRefuse(blueprint), run)
  const rest = kvCacheBytes + computeBytes + outputBytes
  return {
    bytes: bytes - rest,
    asked: `${text} at a context of ${run.context}`,
    describeLeast: (least) => `${roundedUp(least + rest)}, of which ${roundedUp(rest)} are for the context and computing`,
  }
}

function goalOf({ bits, size, fit, tensorTypes = [], floors = [], ties = [] }: BudgetRequest): string {
  const budget =
    size !== undefined ? `--size ${size.text}` : fit !== undefined ? `--fit ${fit.text} ${runFlags(fit.run)}` : `--bits ${bits}`
  return [
    budget,
    ...tensorTypes.map((spec) => `--tensor-type ${spec}`),
    ...floors.map((spec) => `--floor ${spec}`),
    ...ties.map((spec) => `--tie ${spec}`),
  ].join(' ')
}

function runFlags({ context, cacheType = 'F16' }: RunOptions): string {
  return `--ctx ${context}${cacheType === 'F16' ? '' : ` --cache-type ${cacheType.toLowerCase()}`}`
}
