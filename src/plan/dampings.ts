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

/** Candidate dampings, relative to the covariance's mean diagonal; 0 is no error feedback. */
const candidates: readonly number[] = [0, 0.1, 0.3, 0.9]

/**
 * Out-of-domain text needs more damping than held-out rows of the calibration show: the strongest damping whose error is at most this multiple of
 * the smallest is chosen. docs/decisions/0009-error-feedback.md.
 */
const tolerance = 1.08

/** Number of parts of the model's depth that have dampings of their own. */
const depthParts = 3
/** Tensors to measure of each role, type and part. */
const tensorsEach = 2
/** Matrices to measure of each tensor. */
const matricesEach = 2
/** Matrices to search for held-out rows. */
const matricesSearched = 8
/** Matrices with fewer held-out rows are not measured. */
const minRows = 16

/** Calibration, threads and memory for the choice of dampings. */
export interface DampingOptions {
  readonly calibration: InputCovariances
  /** Damping of all tensors, instead of a choice; 0 is no error feedback. */
  readonly damping?: number
  readonly threads?: number
  readonly memoryBytes?: number
  /** Measurements of earlier plans of the same model and calibration; new ones are added. */
  readonly trials?: DampingTrials
  readonly signal?: AbortSignal
}

/** Matrix and type -> damping -> relative output error. */
export type DampingTrials = Map<string, ReadonlyMap<number, number>>

/**
 * Sets the damping of each tensor in a plan: for tensors of one role and type in one part of the model's depth, the strongest damping that is
 * nearly the best on held-out inputs. Dampings that the plan has already stay, unless one is given.
 * @throws what `measure` throws.
 */
export async function* chooseDampings(blueprint: Blueprint, plan: Plan, options: DampingOptions): WithProgress<Plan> {
  const { calibration, damping } = options
  const base = damping === undefined ? plan : withoutDampings(plan)
  const groups = groupsOf(blueprint, base, calibration)
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
  const tensors = base.tensors.map((line): PlanTensor => {
    const own = line.damping ?? ofTensor.get(line.name)
    return own === undefined ? line : { ...line, damping: own }
  })
  if (calibration.fromWeights === true) return { ...plan, tensors }
  return { ...plan, calibration: base.calibration ?? calibration.digest, tensors }
}

function withoutDampings({ calibration: _, ...plan }: Plan): Plan {
  return { ...plan, tensors: plan.tensors.map(({ damping: __, ...line }) => line) }
}

/** Sums of the errors of several matrices, by damping. */
function sumOf(trials: readonly (ReadonlyMap<number, number> | undefined)[]): ReadonlyMap<number, number> {
  return new Map(candidates.map((damping) => [damping, trials.reduce((sum, trial) => sum + (trial?.get(damping) ?? 0), 0)]))
}

/** The strongest damping whose error is nearly the smallest; no error feedback (0) counts as the strongest. */
export function strongestNearBest(errors: ReadonlyMap<number, number>): number {
  const least = Math.min(...errors.values())
  const near = [...errors].filter(([, error]) => error <= tolerance * least).map(([damping]) => damping)
  return near.includes(0) ? 0 : Math.max(...near)
}

/** Tensors that support error feedback and have no damping yet, by role, type and depth. */
function groupsOf({ tensors, layers }: Blueprint, plan: Plan, calibration: InputCovariances): Map<string, BlueprintTensor[]> {
  const lines = new Map(plan.tensors.map((line) => [line.name, line]))
  const undamped = tensors.filter(({ name, recipe, ...tensor }) => {
    const { type, damping } = lines.get(name) as PlanTensor
    if (damping !== undefined || isCopy(recipe, type) || isLossless(type, recipe)) return false
    return takesFeedback(type, rowLength(tensor)) && calibration.inputOf(name, 0) !== undefined
  })
  return groupBy(undamped, ({ name, role, layer = 0 }) => {
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
  for (const matrix of evenlySpaced([...Array(count).keys()], matricesSearched)) {
    const input = calibration.inputOf(tensor.name, matrix)
    const rows = input === undefined ? 0 : (await heldOutRows(calibration, input, rowLength(tensor))).length / rowLength(tensor)
    if (rows >= minRows) found.push(matrix)
    if (found.length === matricesEach) break
  }
  return found
}
