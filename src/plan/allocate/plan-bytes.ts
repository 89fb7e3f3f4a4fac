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
import { type CandidateOptions, knownError, quantizedSource } from './candidates.js'
import { heldTypes, isLimited, limitNotes, limitReason } from './held-types.js'
import { obstaclesOf } from './obstacles.js'
import { groupBytes, type OpenOptions, type OpenTensors, openTensors } from './open-tensors.js'
import { explainChoice, type Option } from './reasons.js'
import { measuredShares } from './residual-share.js'
import { rulesOf, type Weigh } from './role-rules.js'
import type { Assignment } from './settled.js'
import { spend } from './spend.js'
import { writableTypes } from './writable-types.js'

/** Quantization errors of a tensor in a type: see QuantizationError in src/engine. */
interface MeasuredError {
  readonly relativeError: number
  readonly outputError?: number
  readonly outputPower?: number
  readonly meanSquare?: number
}

/** For each tensor and type, the error of sampled rows. */
export type TypeErrors = ReadonlyMap<string, ReadonlyMap<GgmlTypeName, MeasuredError>>

/** What of `measure` (src/engine) planning uses. */
export type Measure = (options: {
  readonly blueprint: Blueprint
  readonly requests: readonly { readonly tensor: string; readonly types: readonly GgmlTypeName[] }[]
  readonly threads?: number
  /** What the process may hold in memory while it measures. */
  readonly memoryBytes?: number
  readonly importance?: Importance
  readonly calibration?: InputCovariances
  readonly signal?: AbortSignal
}) => WithProgress<TypeErrors>

/** How types are measured, weighed and bounded. */
export interface ChoiceOptions extends Partial<OpenOptions> {
  /** Worker threads to measure with. */
  readonly threads?: number
  /** What the process may hold in memory while it measures. */
  readonly memoryBytes?: number
  /** What errors are weighted by; the plan is for a quantization with the same. */
  readonly importance?: Importance
  /** What is known of the inputs: errors are those of the outputs, and blocks count by what they write. */
  readonly calibration?: InputCovariances
  readonly signal?: AbortSignal
  /** By default the worker threads of src/engine. */
  readonly measure?: Measure
  /** Sensitivity of each tensor; by default from its role and its residual share: role-rules.ts, residual-share.ts. */
  readonly weigh?: Weigh
}

/** A budget, in the unit that its user thinks in. */
export interface Budget {
  /** Bytes that the tensors may take together, each a multiple of `alignment` if that is given. Never exceeded. */
  readonly bytes: number
  readonly goal: PlanGoal
  /** The budget as a message names it, such as `2.51 bits per weight`. */
  readonly asked: string
  /** Puts the least possible bytes of tensors into the same unit; by default bits per weight. */
  readonly describeLeast?: (leastBytes: number) => string
}

/** Where a budget is met this closely there is nothing to tell: as a share of it. */
const closeEnough = 0.005

/**
 * Allocates bits: a type for every tensor, such that the expected KL divergence is least within a budget. It is the sum over tensors of
 * sensitivity times output error, each measured in every type that is open. The same model, options and importance give the same plan.
 * @throws MqError BUDGET_IMPOSSIBLE, OPTION_INVALID, and what `measure` throws.
 */
export async function* planBytes(blueprint: Blueprint, budget: Budget, options: ChoiceOptions = {}): WithProgress<Plan> {
  const writable = options.writable ?? (await writableTypes())
  const open = openTensors(blueprint, { ...options, writable })
  checkBudget(blueprint, open, budget, { ...options, writable })
  const errors = yield* measureOpen(blueprint, open, options)
  return chooseTypes(blueprint, open, errors, budget, options)
}

/** Whether the least types fit. @throws MqError BUDGET_IMPOSSIBLE. */
function checkBudget(
  blueprint: Blueprint,
  open: OpenTensors,
  { bytes, asked, describeLeast }: Omit<Budget, 'goal'>,
  options: CandidateOptions,
): void {
  const { leastBytes } = open
  if (leastBytes <= bytes) return
  const bits = Math.ceil((8e4 * leastBytes) / countElements(blueprint.tensors)) / 1e4
  const least = describeLeast?.(leastBytes) ?? `${bits} bits per weight`
  throw MqError.of('BUDGET_IMPOSSIBLE', { asked, least, ...obstaclesOf(blueprint, open, options) })
}

/** Measures the errors of every type that is open. */
export function measureOpen(blueprint: Blueprint, { groups }: OpenTensors, options: ChoiceOptions): WithProgress<TypeErrors> {
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
function weighBy(blueprint: Blueprint, errors: TypeErrors): Weigh {
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

/** Measures what every type would do to every tensor that a budget could be asked about. */
export async function* measureAll(blueprint: Blueprint, options: ChoiceOptions = {}): WithProgress<TypeErrors> {
  const open = openTensors(blueprint, { writable: options.writable ?? (await writableTypes()) })
  return yield* measureOpen(blueprint, open, options)
}

/** The plan of the least expected KL divergence within a budget that the smallest types fit. */
export function chooseTypes(
  blueprint: Blueprint,
  { settled, groups, settledBytes }: OpenTensors,
  errors: TypeErrors,
  { bytes: budget, goal }: Budget,
  { weigh = weighBy(blueprint, errors), alignment }: Pick<ChoiceOptions, 'weigh' | 'alignment'> = {},
): Plan {
  const items = groups.map(({ tensors, types }) =>
    types.map((type): Option => {
      const cost = tensors.reduce(
        (sum, tensor) => sum + weigh(tensor).sensitivity * outputErrorOf(blueprint, errors, tensor, type),
        0,
      )
      return { type, bytes: groupBytes(tensors, type, alignment), cost }
    }),
  )
  const held = heldTypes(blueprint, groups)
  const whole = groups.reduce((sum, { tensors }) => {
    return (
      sum + tensors.reduce((bytes, tensor) => bytes + groupBytes([tensor], held.get(tensor.name) as GgmlTypeName, alignment), 0)
    )
  }, 0)
  if (whole + settledBytes <= budget) return asHeld(blueprint, { settled, groups }, held, errors, goal)
  const solved = spend(items, budget - settledBytes, settledBytes)
  const assignments = new Map(settled)
  groups.forEach(({ tensors }, index) => {
    const options = items[index] as readonly Option[]
    const choice = options[solved.picks[index] as number] as Option
    for (const tensor of tensors) {
      const measured = errors.get(tensor.name)?.get(choice.type)
      const relativeError = knownError(choice.type, tensor, blueprint) ?? measured?.outputError ?? measured?.relativeError ?? 0
      const { why } = weigh(tensor)
      const reason = explainChoice({ tensors, tensor, why, relativeError }, options, choice, solved.pricePerByte)
      assignments.set(tensor.name, { type: choice.type, relativeError, reason })
    }
  })
  const elements = countElements(blueprint.tensors)
  const bits = (bytes: number): number => (8 * bytes) / elements
  const reached = solved.bytes + settledBytes
  const nextBytes = Math.min(solved.saved.nextBytes ?? whole, whole) + settledBytes
  const next = solved.saved.item === undefined ? undefined : groups[solved.saved.item]?.tensors[0]?.name
  const sizes = { reached: bits(reached), asked: bits(budget), next: bits(nextBytes), megabytes: nextBytes / 1e6 }
  const notes = [
    ...(reached < (1 - closeEnough) * budget ? [roomNote(sizes, next)] : []),
    ...smallBlockNotes(blueprint, assignments),
    ...limitNotes(groups, (name) => assignments.get(name)?.type),
  ]
  const assign = ({ name }: BlueprintTensor): Assignment => assignments.get(name) as Assignment
  return { ...assemblePlan(blueprint, assign, { goal, notes }), estimatedLoss: solved.cost }
}

/** Tensors for whose rows a budget had no choice of the types with blocks of 256. */
function smallBlockNotes({ tensors }: Blueprint, assignments: ReadonlyMap<string, Assignment>): string[] {
  const limited = tensors.filter(
    (tensor) => !tensor.keepF32 && rowLength(tensor) % 256 !== 0 && quantizedSource(tensor) === undefined,
  )
  if (limited.length === 0) return []
  const types = [...groupBy(limited, ({ name }) => assignments.get(name)?.type as GgmlTypeName)]
    .map(([type, ofType]) => `${type} ${ofType.length}`)
    .join(', ')
  return [`${limited.length} of ${tensors.length} tensors have rows that are not whole blocks of 256 values, and got ${types}.`]
}

/** The plan that stores every open tensor as the source holds it, or as nearly as its types allow. */
function asHeld(
  blueprint: Blueprint,
  { settled, groups }: Pick<OpenTensors, 'settled' | 'groups'>,
  held: ReadonlyMap<string, GgmlTypeName>,
  errors: TypeErrors,
  goal: PlanGoal,
): Plan {
  const keep = (tensor: BlueprintTensor): Assignment => {
    const type = held.get(tensor.name) as GgmlTypeName
    if (!isLimited(tensor)) {
      return { type, relativeError: 0, reason: 'Stored as the source holds it: the budget has room for all of the model.' }
    }
    const measured = errors.get(tensor.name)?.get(type)
    return {
      type,
      relativeError: knownError(type, tensor, blueprint) ?? measured?.outputError ?? measured?.relativeError ?? 0,
      reason: limitReason(tensor),
    }
  }
  const plan = assemblePlan(blueprint, (tensor) => settled.get(tensor.name) ?? keep(tensor), { goal, notes: [] })
  const limited = limitNotes(groups, (name) => held.get(name))
  const end = limited.length > 0 ? '' : ', without loss'
  return { ...plan, notes: [`The types end at ${plan.bitsPerWeight.toFixed(3)} bits per weight${end}.`, ...limited] }
}

function roomNote(
  { reached, asked, next, megabytes }: { reached: number; asked: number; next: number; megabytes: number },
  waiting: string | undefined,
): string {
  const at = `${next.toFixed(3)} bits per weight (${megabytes.toFixed(1)} MB of weights)`
  const then = waiting === undefined ? `all of the source fits at ${at}` : `${waiting} gets its next type at ${at}`
  return `${reached.toFixed(3)} of ${Number(asked.toFixed(3))} bits per weight are used: larger types do not lower the error measurably until ${then}.`
}
