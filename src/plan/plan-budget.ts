import { buffersOf, shapeOrRefuse, tensorAlignment } from '../footprint/index.js'
import type { Blueprint } from '../model/index.js'
import type { WithProgress } from '../progress/index.js'
import {
  bitsBudget,
  type ChoiceOptions,
  planBytes,
  planSize,
  readConstraints,
  roundedUp,
  type TensorTypeOverride,
  type Writable,
} from './allocate/index.js'
import type { PlanGoal } from './goal.js'
import type { Plan } from './plan.js'
import type { BudgetRequest } from './plan-request.js'

/** Options of a budget besides the request. */
export interface BudgetOptions extends ChoiceOptions {
  readonly overrides: readonly TensorTypeOverride[]
  readonly writable: Writable
}

/**
 * The plan of a budget.
 * @throws MqError OPTION_INVALID, BUDGET_IMPOSSIBLE, FOOTPRINT_UNKNOWN, and what measuring throws.
 */
export async function* planBudget(blueprint: Blueprint, request: BudgetRequest, options: BudgetOptions): WithProgress<Plan> {
  const choice = { ...options, ...readConstraints(blueprint, request, options.writable) }
  const goal = goalOf(request)
  switch (request.kind) {
    case 'bits':
      return yield* planBytes(blueprint, { ...bitsBudget(blueprint, request.bits), goal }, choice)
    case 'size': {
      const { size, splitMaxBytes } = request
      return yield* planSize(blueprint, { fileBytes: size.bytes, splitMaxBytes, goal, asked: size.text }, choice)
    }
    case 'fit':
      return yield* planBytes(blueprint, { ...fitBudget(blueprint, request), goal }, { ...choice, alignment: tensorAlignment })
  }
}

/** The memory that remains for weights after KV cache and compute buffers. */
function fitBudget(
  blueprint: Blueprint,
  { memory: { bytes, text }, run }: Extract<BudgetRequest, { kind: 'fit' }>,
): { readonly bytes: number; readonly asked: string; readonly describeMinimum: (minBytes: number) => string } {
  const { kvCacheBytes, computeBytes, outputBytes } = buffersOf(shapeOrRefuse(blueprint), run)
  const rest = kvCacheBytes + computeBytes + outputBytes
  return {
    bytes: bytes - rest,
    asked: `${text} at a context of ${run.context}`,
    describeMinimum: (least) => `${roundedUp(least + rest)}, of which ${roundedUp(rest)} are KV cache and compute buffers`,
  }
}

function goalOf(request: BudgetRequest): PlanGoal {
  const { tensorTypes, floors, ties, candidates } = request
  const bounds = { tensorTypes, floors, ties, candidates }
  switch (request.kind) {
    case 'bits':
      return { kind: 'bits', bits: request.bits, ...bounds }
    case 'size':
      return { kind: 'size', size: request.size.text, ...bounds }
    case 'fit': {
      const { context, cacheType = 'F16' } = request.run
      return { kind: 'fit', memory: request.memory.text, context, cacheType, ...bounds }
    }
  }
}
