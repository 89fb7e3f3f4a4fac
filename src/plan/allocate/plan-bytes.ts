import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { groupBy } from '../../collections/index.js'
import { type Importance, type InputCovariances, measure as measureTypes } from '../../engine/index.js'
import { MqError } from '../../errors/index.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import type { WithProgress } from '../../progress/index.js'
import { rowLength } from '../../recipe/index.js'
import type { PlanGoal } from '../goal.js'
import type { Plan } from '../plan.js'
import { assemblePlan, countElements } from './assemble.js'
import type { Assignment } from './assignment.js'
import { knownError, quantizedSource } from './candidates.js'
import { explainChoice, type Option } from './reasons.js'
import { measuredShares } from './residual-share.js'
import { type RuleOf, rulesOf } from './role-rules.js'
import { sizeConstraintsOf } from './size-constraints.js'
import { solveWithCutoff } from './solve-with-cutoff.js'
import { type GroupOptions, groupBytes, groupTensors, type TensorGroups } from './tensor-groups.js'
import { ceilingNotes, ceilingReason, ceilingTypes, isCapped } from './type-ceilings.js'
import { writableTypes } from './writable-types.js'

/** Quantization errors of a tensor in a type: see QuantizationError in src/engine. */
interface MeasuredError {
  readonly relativeError: number
  readonly outputError?: number
  readonly outputPower?: number
  readonly meanSquare?: number
}

/** Tensor name -> type -> error on sampled rows. */
export type TypeErrors = ReadonlyMap<string, ReadonlyMap<GgmlTypeName, MeasuredError>>

/** The part of `measure` (src/engine) that planning uses. */
export type Measure = (options: {
  readonly blueprint: Blueprint
  readonly requests: readonly { readonly tensor: string; readonly types: readonly GgmlTypeName[] }[]
  readonly threads?: number
  /** Memory limit of the process while it measures, in bytes. */
  readonly memoryBytes?: number
  readonly importance?: Importance
  readonly calibration?: InputCovariances
  readonly signal?: AbortSignal
}) => WithProgress<TypeErrors>

/** How errors are measured and weighted, and constraints on types. */
export interface ChoiceOptions extends Partial<GroupOptions> {
  /** Worker threads to measure with. */
  readonly threads?: number
  /** Memory limit of the process while it measures, in bytes. */
  readonly memoryBytes?: number
  /** Importance matrix that errors are weighted by; quantization uses the same. */
  readonly importance?: Importance
  /** Input covariances: with them errors are output errors, and layers are weighted by their share of the residual stream. */
  readonly calibration?: InputCovariances
  readonly signal?: AbortSignal
  /** By default the worker threads of src/engine. */
  readonly measure?: Measure
  /** Sensitivity of each tensor; by default from its role and its residual share: role-rules.ts, residual-share.ts. */
  readonly ruleOf?: RuleOf
}

/** A budget in bytes, and the unit that messages give it in. */
export interface Budget {
  /** Bytes of all tensors together, each rounded up to `alignment` if that is given. Never exceeded. */
  readonly bytes: number
  readonly goal: PlanGoal
  /** The budget as a message names it, such as `2.51 bits per weight`. */
  readonly asked: string
  /** The smallest possible size of the tensors in the same unit; by default bits per weight. */
  readonly describeMinimum?: (minBytes: number) => string
}

/** Share of a budget that may stay unused without a note. */
const closeEnough = 0.005

/**
 * Allocates bits: a type for every tensor, such that the expected KL divergence is least within a budget. It is the sum over tensors of
 * sensitivity times output error, each measured in every candidate type. The same model, options and importance give the same plan.
 * @throws MqError BUDGET_IMPOSSIBLE, OPTION_INVALID, and what `measure` throws.
 */
export async function* planBytes(blueprint: Blueprint, budget: Budget, options: ChoiceOptions = {}): WithProgress<Plan> {
  const writable = options.writable ?? (await writableTypes())
  const groups = groupTensors(blueprint, { ...options, writable })
  checkBudget(blueprint, groups, budget, { ...options, writable })
  const errors = yield* measureGroups(blueprint, groups, options)
  return chooseTypes(blueprint, groups, errors, budget, options)
}

/** Checks that the smallest candidates fit. @throws MqError BUDGET_IMPOSSIBLE. */
function checkBudget(
  blueprint: Blueprint,
  groups: TensorGroups,
  { bytes, asked, describeMinimum }: Omit<Budget, 'goal'>,
  options: GroupOptions,
): void {
  const { minBytes } = groups
  if (minBytes <= bytes) return
  const bits = Math.ceil((8e4 * minBytes) / countElements(blueprint.tensors)) / 1e4
  const least = describeMinimum?.(minBytes) ?? `${bits} bits per weight`
  throw MqError.of('BUDGET_IMPOSSIBLE', { asked, least, ...sizeConstraintsOf(blueprint, groups, options) })
}

/** Measures the errors of all candidate types of all groups. */
export function measureGroups(blueprint: Blueprint, { groups }: TensorGroups, options: ChoiceOptions): WithProgress<TypeErrors> {
  const { measure = measureTypes, threads, memoryBytes, importance, calibration, signal } = options
  const requests = groups.flatMap(({ tensors, types }) => {
    return tensors.flatMap((tensor) => {
      const measurable = types.filter((type) => knownError(type, tensor, blueprint) === undefined)
      return measurable.length === 0 ? [] : [{ tensor: tensor.name, types: measurable }]
    })
  })
  return measure({
    blueprint,
    requests,
    threads,
    memoryBytes,
    importance,
    calibration,
    signal,
  })
}

/** Sensitivity of each tensor, with measured residual shares where outputs were measured. */
function measuredRules(blueprint: Blueprint, errors: TypeErrors): RuleOf {
  const power = (tensor: string): number | undefined => [...(errors.get(tensor)?.values() ?? [])][0]?.outputPower
  return rulesOf(blueprint, measuredShares(blueprint, power))
}

/**
 * Output error of a tensor in a type, relative to the outputs' power if the columns of the input were uncorrelated: times the tensor's
 * sensitivity it is the expected KL divergence. Much of an output's power may be the same for all tokens, and carries no information.
 */
function outputErrorOf(blueprint: Blueprint, errors: TypeErrors, tensor: BlueprintTensor, type: GgmlTypeName): number {
  const known = knownError(type, tensor, blueprint)
  if (known !== undefined) return known
  const { relativeError = 0, outputError, outputPower = 1, meanSquare = 1 } = errors.get(tensor.name)?.get(type) ?? {}
  return outputError === undefined ? relativeError : (outputError * outputPower) / (meanSquare || 1)
}

/** Measures the errors of all candidate types of all tensors that a budget chooses types for. */
export async function* measureAll(blueprint: Blueprint, options: ChoiceOptions = {}): WithProgress<TypeErrors> {
  const groups = groupTensors(blueprint, { writable: options.writable ?? (await writableTypes()) })
  return yield* measureGroups(blueprint, groups, options)
}

/** The plan of the least expected KL divergence within a budget that the smallest types fit. */
export function chooseTypes(
  blueprint: Blueprint,
  { fixed, groups, fixedBytes }: TensorGroups,
  errors: TypeErrors,
  { bytes: budget, goal }: Budget,
  { ruleOf = measuredRules(blueprint, errors), alignment }: Pick<ChoiceOptions, 'ruleOf' | 'alignment'> = {},
): Plan {
  const items = groups.map(({ tensors, types }) =>
    types.map((type): Option => {
      const cost = tensors.reduce(
        (sum, tensor) => sum + ruleOf(tensor).sensitivity * outputErrorOf(blueprint, errors, tensor, type),
        0,
      )
      return { type, bytes: groupBytes(tensors, type, alignment), cost }
    }),
  )
  const ceilings = ceilingTypes(blueprint, groups)
  const whole = groups.reduce((sum, { tensors }) => {
    return (
      sum +
      tensors.reduce((bytes, tensor) => bytes + groupBytes([tensor], ceilings.get(tensor.name) as GgmlTypeName, alignment), 0)
    )
  }, 0)
  if (whole + fixedBytes <= budget) return planAtCeilings(blueprint, { fixed, groups }, ceilings, errors, goal)
  const solved = solveWithCutoff(items, budget - fixedBytes, fixedBytes)
  const assignments = new Map(fixed)
  groups.forEach(({ tensors }, index) => {
    const options = items[index] as readonly Option[]
    const choice = options[solved.picks[index] as number] as Option
    for (const tensor of tensors) {
      const measured = errors.get(tensor.name)?.get(choice.type)
      const relativeError = knownError(choice.type, tensor, blueprint) ?? measured?.outputError ?? measured?.relativeError ?? 0
      const { why } = ruleOf(tensor)
      const reason = explainChoice({ tensors, tensor, why, relativeError }, options, choice, solved.pricePerByte)
      assignments.set(tensor.name, { type: choice.type, relativeError, reason })
    }
  })
  const elements = countElements(blueprint.tensors)
  const bits = (bytes: number): number => (8 * bytes) / elements
  const reached = solved.bytes + fixedBytes
  const nextBytes = Math.min(solved.pending.nextBytes ?? whole, whole) + fixedBytes
  const next = solved.pending.item === undefined ? undefined : groups[solved.pending.item]?.tensors[0]?.name
  const sizes = { reached: bits(reached), asked: bits(budget), next: bits(nextBytes), megabytes: nextBytes / 1e6 }
  const notes = [
    ...(reached < (1 - closeEnough) * budget ? [roomNote(sizes, next)] : []),
    ...smallBlockNotes(blueprint, assignments),
    ...ceilingNotes(groups, (name) => assignments.get(name)?.type),
  ]
  const assign = ({ name }: BlueprintTensor): Assignment => assignments.get(name) as Assignment
  return { ...assemblePlan(blueprint, assign, { goal, notes }), estimatedLoss: solved.cost }
}

/** A note that counts the tensors whose rows fit no type with blocks of 256. */
function smallBlockNotes({ tensors }: Blueprint, assignments: ReadonlyMap<string, Assignment>): string[] {
  const narrow = tensors.filter(
    (tensor) => !tensor.keepF32 && rowLength(tensor) % 256 !== 0 && quantizedSource(tensor) === undefined,
  )
  if (narrow.length === 0) return []
  const types = [...groupBy(narrow, ({ name }) => assignments.get(name)?.type as GgmlTypeName)]
    .map(([type, ofType]) => `${type} ${ofType.length}`)
    .join(', ')
  return [`${narrow.length} of ${tensors.length} tensors have rows that are not whole blocks of 256 values, and got ${types}.`]
}

/** The plan that stores every tensor in its ceiling type: without loss, or as closely as its candidates allow. */
function planAtCeilings(
  blueprint: Blueprint,
  { fixed, groups }: Pick<TensorGroups, 'fixed' | 'groups'>,
  ceilings: ReadonlyMap<string, GgmlTypeName>,
  errors: TypeErrors,
  goal: PlanGoal,
): Plan {
  const ceilingOf = (tensor: BlueprintTensor): Assignment => {
    const type = ceilings.get(tensor.name) as GgmlTypeName
    if (!isCapped(tensor)) {
      return { type, relativeError: 0, reason: 'Stored as the source holds it: the budget has room for all of the model.' }
    }
    const measured = errors.get(tensor.name)?.get(type)
    return {
      type,
      relativeError: knownError(type, tensor, blueprint) ?? measured?.outputError ?? measured?.relativeError ?? 0,
      reason: ceilingReason(tensor),
    }
  }
  const plan = assemblePlan(blueprint, (tensor) => fixed.get(tensor.name) ?? ceilingOf(tensor), { goal, notes: [] })
  const limited = ceilingNotes(groups, (name) => ceilings.get(name))
  const end = limited.length > 0 ? '' : ', without loss'
  return {
    ...plan,
    notes: [
      `Every tensor has the highest type that adds precision: ${plan.bitsPerWeight.toFixed(3)} bits per weight${end}.`,
      ...limited,
    ],
  }
}

function roomNote(
  { reached, asked, next, megabytes }: { reached: number; asked: number; next: number; megabytes: number },
  nextTensor: string | undefined,
): string {
  const at = `${next.toFixed(3)} bits per weight (${megabytes.toFixed(1)} MB of weights)`
  const then = nextTensor === undefined ? `all of the source fits at ${at}` : `${nextTensor} gets its next type at ${at}`
  return `${reached.toFixed(3)} of ${Number(asked.toFixed(3))} bits per weight are used: larger types do not lower the error measurably until ${then}.`
}
