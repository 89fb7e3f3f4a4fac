import { type GgmlTypeName, ggmlBytes, ggmlType } from '../../formats/ggml/types.js'
import type { Blueprint, BlueprintTensor, TensorRole } from '../blueprint.js'
import { MqError } from '../errors.js'
import type { Plan } from '../plan.js'
import type { WithProgress } from '../progress.js'
import { type Importance, measure as measureTypes } from '../quantize/index.js'
import { elementCount } from '../recipe/index.js'
import { type Assignment, assemblePlan, countElements, goalOf, keptReason } from './assemble.js'
import { candidatesFor, isWide, knownError, type Writable } from './candidates.js'
import { explainChoice, type Option } from './reasons.js'
import { ruleOf } from './role-rules.js'
import { solve } from './solve.js'
import { fittingType, matchTensorTypes, type TensorTypeOverride } from './tensor-types.js'
import { writableTypes } from './writable-types.js'

/** What of `measure` (src/quantize) planning uses: for each tensor and type, the relative error of sampled rows. */
export type Measure = (options: {
  readonly blueprint: Blueprint
  readonly requests: readonly { readonly tensor: string; readonly types: readonly GgmlTypeName[] }[]
  readonly threads?: number
  /** What the process may hold in memory while it measures. */
  readonly memoryBytes?: number
  readonly importance?: Importance
  readonly signal?: AbortSignal
}) => WithProgress<ReadonlyMap<string, ReadonlyMap<GgmlTypeName, { readonly relativeError: number }>>>

export interface PlanBitsOptions {
  /** Bits per weight of the file, 8 * bytes of all tensors / their elements, never exceeded. */
  readonly bits: number
  readonly overrides?: readonly TensorTypeOverride[]
  /** The least types of roles, instead of those of the role table. */
  readonly floors?: Partial<Record<TensorRole, GgmlTypeName>>
  /** Worker threads to measure with. */
  readonly threads?: number
  /** What the process may hold in memory while it measures. */
  readonly memoryBytes?: number
  /** What errors are weighted by; the plan is for a quantization with the same. */
  readonly importance?: Importance
  readonly signal?: AbortSignal
  /** By default the worker threads of src/quantize. */
  readonly measure?: Measure
  /** By default what the kernels can. */
  readonly writable?: Writable
}

/** A tensor whose type is to be chosen, and what it can get, from few bits to many. */
interface Open {
  readonly tensor: BlueprintTensor
  readonly options: readonly Option[]
}

/** Where a budget is met this closely there is nothing to tell: as a share of it. */
const closeEnough = 0.005

/**
 * A type for every tensor, such that the expected damage is least within a budget: measures what each type would do to each matrix, weighs
 * it by what the matrix is to the model (role-rules.ts), and solves for the least sum. The same model, options and importance
 * give the same plan.
 * @throws MqError BUDGET_IMPOSSIBLE, FLAG_INVALID, and what `measure` throws.
 */
export async function* planBits(blueprint: Blueprint, options: PlanBitsOptions): WithProgress<Plan> {
  const { bits, overrides = [], measure = measureTypes } = options
  if (!(bits > 0 && Number.isFinite(bits))) {
    throw MqError.of('FLAG_INVALID', { flag: 'bits', value: bits, problem: 'it is not a positive number', command: 'plan' })
  }
  const writable = options.writable ?? (await writableTypes())
  const matches = matchTensorTypes(blueprint, overrides, writable)
  const settled = new Map<string, Assignment>()
  for (const tensor of blueprint.tensors) {
    const override = matches.get(tensor.name)
    if (tensor.keepF32) settled.set(tensor.name, { type: 'F32', reason: keptReason })
    else if (override !== undefined) settled.set(tensor.name, overridden(tensor, override))
  }
  const rest = blueprint.tensors.filter(({ name }) => !settled.has(name))
  const types = new Map(rest.map((tensor) => [tensor.name, allowedTypes(tensor, blueprint, writable, options.floors)]))

  const elements = countElements(blueprint.tensors)
  const fixed = sumBytes(blueprint.tensors, (tensor) => settled.get(tensor.name)?.type)
  const budget = Math.floor((bits * elements) / 8) - fixed
  const least = sumBytes(rest, (tensor) => types.get(tensor.name)?.[0])
  if (least > budget) {
    const leastBits = Math.ceil((8e4 * (least + fixed)) / elements) / 1e4
    throw MqError.of('BUDGET_IMPOSSIBLE', { asked: `${bits} bits per weight`, least: leastBits })
  }

  const { threads, memoryBytes, importance, signal } = options
  const requests = rest.map(({ name }) => ({ tensor: name, types: measurable(types.get(name) ?? [], blueprint) }))
  const measured = yield* measure({
    blueprint,
    requests: requests.filter((request) => request.types.length > 0),
    ...(threads === undefined ? {} : { threads }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(importance === undefined ? {} : { importance }),
    ...(signal === undefined ? {} : { signal }),
  })
  const open = rest.map((tensor): Open => {
    const { sensitivity } = ruleOf(tensor, blueprint)
    const toOption = (type: GgmlTypeName): Option => {
      const relativeError = knownError(type, blueprint) ?? measured.get(tensor.name)?.get(type)?.relativeError ?? 0
      return { type, relativeError, bytes: ggmlBytes(type, elementCount(tensor.shape)), cost: sensitivity * relativeError }
    }
    return { tensor, options: (types.get(tensor.name) ?? []).map(toOption) }
  })
  const solved = solve(
    open.map(({ options }) => options),
    budget,
  )
  open.forEach(({ tensor, options }, index) => {
    const choice = options[solved.picks[index] as number] as Option
    const reason = explainChoice(tensor, ruleOf(tensor, blueprint), options, choice, solved.pricePerByte)
    settled.set(tensor.name, { type: choice.type, relativeError: choice.relativeError, reason })
  })
  const assign = ({ name }: BlueprintTensor): Assignment => settled.get(name) as Assignment
  const notes =
    solved.bytes + fixed < (1 - closeEnough) * (budget + fixed) ? [roomNote((8 * (solved.bytes + fixed)) / elements, bits)] : []
  return assemblePlan(blueprint, assign, { goal: goalOf(`--bits ${bits}`, overrides), notes })
}

/** Types that may be chosen, the least first; never below the floor, unless nothing else fits the rows. */
function allowedTypes(
  tensor: BlueprintTensor,
  blueprint: Blueprint,
  writable: Writable,
  floors: PlanBitsOptions['floors'],
): GgmlTypeName[] {
  const floor = ggmlType(floors?.[tensor.role] ?? ruleOf(tensor, blueprint).floor).bitsPerWeight
  return candidatesFor(tensor, blueprint, writable).filter((type) => isWide(type) || ggmlType(type).bitsPerWeight >= floor)
}

function measurable(types: readonly GgmlTypeName[], blueprint: Blueprint): GgmlTypeName[] {
  return types.filter((type) => knownError(type, blueprint) === undefined)
}

function overridden(tensor: BlueprintTensor, { type, spec }: TensorTypeOverride): Assignment {
  const fitting = fittingType(type, tensor)
  const reason = fitting === type ? '.' : `, as near as its rows allow.`
  return { type: fitting, reason: `Set by --tensor-type ${spec}${reason}` }
}

function roomNote(reached: number, asked: number): string {
  return `The types end at ${reached.toFixed(3)} bits per weight: no mix of them comes closer to ${asked} without doing more damage.`
}

function sumBytes(tensors: readonly BlueprintTensor[], typeOf: (tensor: BlueprintTensor) => GgmlTypeName | undefined): number {
  return tensors.reduce((sum, tensor) => {
    const type = typeOf(tensor)
    return type === undefined ? sum : sum + ggmlBytes(type, elementCount(tensor.shape))
  }, 0)
}
