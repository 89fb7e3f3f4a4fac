import type { GgmlTypeName } from '../../formats/ggml/types.js'
import { evenlySpaced, groupBy } from '../collections/index.js'
import {
  defaultDamping,
  type HeldOutRequest,
  heldOutRows,
  type InputCovariances,
  isCopy,
  isLossless,
  measureHeldOut,
  takesFeedback,
} from '../engine/index.js'
import type { Blueprint, BlueprintTensor } from '../model/index.js'
import type { WithProgress } from '../progress/index.js'
import { elementCount, rowLength } from '../recipe/index.js'
import type { Plan, PlanTensor } from './plan.js'

/** What is tried, in units of the covariance's mean diagonal; 0 is no feedback. */
const candidates: readonly number[] = [0, 0.1, 0.3, 0.9]

/**
 * Text unlike that of the calibration wants more damping than its held-out part shows: the strongest is taken that leaves at most so
 * much more error than the best. docs/decisions/0009-error-feedback.md.
 */
const tolerance = 1.08

/** Tensors of a role are looked at in so many parts of the model's depth, */
const depthParts = 3
/** so many of each part, */
const tensorsEach = 2
/** and so many matrices of each, of which so many are asked for held-out rows. */
const matricesEach = 2
const matricesAsked = 8
/** With fewer rows held out than this nothing is chosen by a matrix. */
const minRows = 16

/** What dampings are chosen by. */
export interface DampingOptions {
  readonly calibration: InputCovariances
  /** For all tensors, instead of choosing; 0 is no feedback. */
  readonly damping?: number
  readonly threads?: number
  readonly memoryBytes?: number
  /** What plans of the same model and calibration have tried before; what is tried now is added. */
  readonly trials?: DampingTrials
  readonly signal?: AbortSignal
}

/** Relative errors of the outputs by damping, of matrices in a type. */
export type DampingTrials = Map<string, ReadonlyMap<number, number>>

/**
 * Says in a plan with how much damping the codes of each tensor are chosen: for tensors of one role and type, in one part of the model's
 * depth, the strongest that is nearly the best on inputs that the covariance has not seen. What a plan says already stays, but for a
 * damping that is given.
 * @throws what `measure` throws.
 */
export async function* chooseDampings(blueprint: Blueprint, plan: Plan, options: DampingOptions): WithProgress<Plan> {
  const { calibration, damping } = options
  const settled = damping === undefined ? plan : withoutDampings(plan)
  const groups = groupsOf(blueprint, settled, calibration)
  const chosen = new Map<string, number>()
  if (damping === undefined) {
    const { trials = new Map() } = options
    const requests = new Map<string, HeldOutRequest[]>()
    for (const [group, tensors] of groups) requests.set(group, await requestsOf(tensors, plan, calibration))
    const untried = [...requests.values()].flat().filter(({ group }) => !trials.has(group))
    const errors = untried.length === 0 ? [] : yield* measureHeldOut({ ...options, blueprint, requests: untried })
    for (const [trial, byDamping] of errors) trials.set(trial, byDamping)
    for (const [group, ofGroup] of requests) {
      if (ofGroup.length > 0) chosen.set(group, strongestNearBest(sumOf(ofGroup.map((request) => trials.get(request.group)))))
    }
  }
  const ofTensor = new Map<string, number>()
  for (const [group, tensors] of groups) {
    for (const { name } of tensors) ofTensor.set(name, damping ?? chosen.get(group) ?? defaultDamping)
  }
  const tensors = settled.tensors.map((line): PlanTensor => {
    const own = line.damping ?? ofTensor.get(line.name)
    return own === undefined ? line : { ...line, damping: own }
  })
  if (calibration.fromWeights === true) return { ...plan, tensors }
  return { ...plan, calibration: settled.calibration ?? calibration.digest, tensors }
}

function withoutDampings({ calibration: _, ...plan }: Plan): Plan {
  return { ...plan, tensors: plan.tensors.map(({ damping: __, ...line }) => line) }
}

/** Errors of several matrices together, damping by damping. */
function sumOf(trials: readonly (ReadonlyMap<number, number> | undefined)[]): ReadonlyMap<number, number> {
  return new Map(candidates.map((damping) => [damping, trials.reduce((sum, trial) => sum + (trial?.get(damping) ?? 0), 0)]))
}

/** Of dampings and their errors: the strongest with nearly the least error; none at all counts as the strongest. */
export function strongestNearBest(errors: ReadonlyMap<number, number>): number {
  const least = Math.min(...errors.values())
  const near = [...errors].filter(([, error]) => error <= tolerance * least).map(([damping]) => damping)
  return near.includes(0) ? 0 : Math.max(...near)
}

/** Tensors that can take feedback and have no damping yet, by role, type and depth. */
function groupsOf({ tensors, layers }: Blueprint, plan: Plan, calibration: InputCovariances): Map<string, BlueprintTensor[]> {
  const lines = new Map(plan.tensors.map((line) => [line.name, line]))
  const open = tensors.filter(({ name, recipe, ...tensor }) => {
    const { type, damping } = lines.get(name) as PlanTensor
    if (damping !== undefined || isCopy(recipe, type) || isLossless(type, recipe)) return false
    return takesFeedback(type, rowLength(tensor)) && calibration.inputOf(name, 0) !== undefined
  })
  return groupBy(open, ({ name, role, layer = 0 }) => {
    const depth = Math.floor((layer * depthParts) / Math.max(1, layers))
    return `${role} ${lines.get(name)?.type} ${depth}`
  })
}

async function requestsOf(
  tensors: readonly BlueprintTensor[],
  plan: Plan,
  calibration: InputCovariances,
): Promise<HeldOutRequest[]> {
  const requests: HeldOutRequest[] = []
  for (const tensor of evenlySpaced(tensors, tensorsEach)) {
    const type = plan.tensors.find(({ name }) => name === tensor.name)?.type as GgmlTypeName
    const matrices = await matricesWithRows(tensor, calibration)
    for (const matrix of matrices) {
      const group = `${tensor.name} ${matrix} ${type}`
      requests.push({ group, tensor: tensor.name, matrix, type, dampings: candidates })
    }
  }
  return requests
}

async function matricesWithRows(tensor: BlueprintTensor, calibration: InputCovariances): Promise<number[]> {
  const count = elementCount(tensor.shape.slice(0, -2))
  const found: number[] = []
  for (const matrix of evenlySpaced([...Array(count).keys()], matricesAsked)) {
    const input = calibration.inputOf(tensor.name, matrix)
    const rows = input === undefined ? 0 : (await heldOutRows(calibration, input, rowLength(tensor))).length / rowLength(tensor)
    if (rows >= minRows) found.push(matrix)
    if (found.length === matricesEach) break
  }
  return found
}
