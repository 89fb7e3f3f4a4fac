import { type GgmlTypeName, ggmlType } from '../../formats/ggml/types.js'
import { embeddingCovariances } from '../calibration/index.js'
import { type Importance, type InputCovariances, isCopy, isDamping } from '../engine/index.js'
import { MqError } from '../errors/index.js'
import { type Blueprint, nothingToCompare, notWidenedNote, smooth, type WidenRequest } from '../model/index.js'
import type { WithProgress } from '../progress/index.js'
import { type Measure, parseTensorTypes, planMixture, planPreset, planType, writableTypes } from './allocate/index.js'
import { checkPlan } from './check-plan.js'
import { chooseDampings, type DampingTrials } from './dampings.js'
import type { Plan } from './plan.js'
import { planBudget } from './plan-budget.js'
import { type PlanRequest, unknownKind } from './plan-request.js'
import { sharedMeasure } from './shared-measure.js'
import { chooseSmoothing } from './smoothing.js'
import { chooseWidths, type Inputs, inputsOfPlan, modelOfPlan } from './widths.js'

/** Calibration, settings and limits of planning. */
export interface PlanningOptions {
  readonly threads?: number
  readonly memoryBytes?: number
  readonly importance?: Importance
  /**
   * Input covariances: the plan sets the damping of error feedback. By default those computed from the weights, for the token embedding, unless
   * `measure` is given without `fromWeights`.
   */
  readonly calibration?: InputCovariances
  /** Damping of all tensors, instead of a choice on held-out rows; 0 is no error feedback. */
  readonly damping?: number
  /** Measures errors; by default on sampled rows of the weights. */
  readonly measure?: Measure
  /** Whether `measure` reads the weights, too, so that covariances computed from them are used. */
  readonly fromWeights?: boolean
  /** Ends once types are chosen, without dampings: the plan is not one to quantize by. */
  readonly typesAlone?: boolean
  /** How sensitivity is estimated for bit allocation: see sensitivityEstimates. By default `fast`. */
  readonly calibrate?: SensitivityEstimate
  /** Whether to widen the model: by default `auto` under a budget, else `none`. */
  readonly widen?: WidenRequest
  /** Whether to smooth activations (move scales from norms to weights): by default under a budget with an importance matrix. */
  readonly smooth?: boolean
  /** Damping measurements of earlier plans of the same model and calibration. */
  readonly trials?: DampingTrials
  readonly signal?: AbortSignal
}

/**
 * How sensitivity is estimated for bit allocation. none: from role weights and the error of the weights alone. fast: from the error of the
 * outputs and each layer's residual stream share, from a calibration file.
 */
export type SensitivityEstimate = (typeof sensitivityEstimates)[number]
export const sensitivityEstimates = ['none', 'fast'] as const

/**
 * Makes the requested plan. Only budgets and calibrations need measurements; presets, mixtures and types do not.
 * @throws MqError OPTION_INVALID, PLAN_MISMATCH, PRESET_UNKNOWN, MIXTURE_INVALID, BUDGET_IMPOSSIBLE, FOOTPRINT_UNKNOWN, and what
 *   measuring throws.
 */
export async function* makePlan(blueprint: Blueprint, request: PlanRequest, options: PlanningOptions = {}): WithProgress<Plan> {
  checkOptions(options)
  checkWiden(request, options.widen)
  const { widen = isBudget(request) ? 'auto' : 'none', smooth: isSmoothed = isBudget(request), ...asked } = options
  const inputsOf = (model: Blueprint): PlanningOptions => {
    const inputs = inputsOfPlan(asked, blueprint, model)
    return { ...inputs, calibration: calibrationOf(model, inputs) }
  }
  if (request.kind === 'plan') {
    const model = modelOfPlan(blueprint, request.plan)
    return yield* withInputs(model, checkPlan(request.plan, model), inputsOf(model))
  }
  const measure = sharedMeasure(asked.measure)
  const { plan, model: chosen } = yield* chooseWidths(blueprint, widen, async function* (wide) {
    const model = isSmoothed ? smoothed(wide, inputsOf(wide)) : wide
    const typed = yield* withTypes(model, request, { ...inputsOf(model), measure })
    return { plan: { ...typed, smoothing: model.smoothing }, loss: typed.estimatedLoss ?? 0 }
  })
  const unwidened = options.widen !== undefined && widen !== 'none' && widen !== 'auto' && plan.widths === undefined
  const noted = unwidened ? { ...plan, notes: [...plan.notes, notWidenedNote(blueprint)] } : plan
  const model = modelOfPlan(chosen, plan)
  return yield* withInputs(model, noted, inputsOf(model))
}

/** @throws MqError OPTION_INVALID where `widen` contradicts the request. */
function checkWiden(request: PlanRequest, widen: WidenRequest | undefined): void {
  if (widen === undefined || widen === 'none') return
  if (request.kind === 'plan') {
    const value = typeof widen === 'string' ? widen : Object.keys(widen).join(', ')
    throw MqError.of('OPTION_INVALID', { option: 'widen', value, problem: 'the plan says which widths its model has' })
  }
  if (widen === 'auto' && !isBudget(request)) throw nothingToCompare()
}

/** The smoothed model, if its importance is known. */
export function smoothed(model: Blueprint, { importance, calibration }: Inputs): Blueprint {
  const known = importance ?? calibration?.importance
  const smoothing = known && chooseSmoothing(model, known)
  return smoothing === undefined ? model : smooth(model, smoothing)
}

/** Whether types are chosen by a budget. */
function isBudget({ kind }: PlanRequest): boolean {
  return kind === 'bits' || kind === 'size' || kind === 'fit'
}

/** The plan with dampings, and with notes on calibration and low-bit types. */
async function* withInputs(blueprint: Blueprint, typed: Plan, options: PlanningOptions): WithProgress<Plan> {
  const { calibration } = options
  const lowNotes = lowTypeNotes(blueprint, typed, options.importance !== undefined)
  const plan = { ...typed, notes: [...new Set([...typed.notes, ...lowNotes])] }
  if (calibration === undefined || options.typesAlone === true) return plan
  const others = plan.calibration !== undefined && plan.calibration !== calibration.digest && calibration.fromWeights !== true
  const damped = yield* chooseDampings(blueprint, plan, { ...options, calibration })
  return others ? { ...damped, notes: [...damped.notes, othersNote] } : damped
}

/** Input covariances: those of the calibration, else those computed from the weights, unless weights are not read. */
export function calibrationOf(
  blueprint: Blueprint,
  { calibration, measure, fromWeights = false }: Pick<PlanningOptions, 'calibration' | 'measure' | 'fromWeights'>,
): InputCovariances | undefined {
  return calibration ?? (measure === undefined || fromWeights ? embeddingCovariances(blueprint) : undefined)
}

/** @throws MqError OPTION_INVALID for invalid values from untyped callers or plan files. */
function checkOptions({ calibrate, calibration, damping }: PlanningOptions): void {
  if (calibrate !== undefined && !sensitivityEstimates.includes(calibrate)) {
    const problem = `it is none of ${sensitivityEstimates.join(', ')}`
    throw MqError.of('OPTION_INVALID', { option: 'calibrate', value: calibrate, problem })
  }
  if (calibrate === 'fast' && (calibration === undefined || calibration.fromWeights === true)) {
    throw MqError.of('OPTION_INVALID', { option: 'calibrate', value: calibrate, problem: 'it needs a calibration' })
  }
  if (damping !== undefined && !isDamping(damping)) {
    const problem = 'it is neither 0 nor from 0.0001 to 10000'
    throw MqError.of('OPTION_INVALID', { option: 'damping', value: damping, problem })
  }
}

/** Requests other than a finished plan. */
type TypesRequest = Exclude<PlanRequest, { readonly kind: 'plan' }>

const othersNote = 'The plan was made with another calibration file: its types and dampings may not be the best for this one.'

async function* withTypes(blueprint: Blueprint, request: TypesRequest, options: PlanningOptions): WithProgress<Plan> {
  const writable = await writableTypes()
  const overrides = parseTensorTypes(request.tensorTypes ?? [])
  const { calibrate = 'fast', calibration, ...rest } = options
  const importance = options.importance !== undefined
  switch (request.kind) {
    case 'bits':
    case 'size':
    case 'fit': {
      const unused = calibrate === 'none' || (calibration?.fromWeights === true && options.damping === 0)
      return yield* planBudget(blueprint, request, {
        ...rest,
        overrides,
        writable,
        calibration: unused ? undefined : calibration,
      })
    }
    case 'preset':
      return planPreset(blueprint, request.preset, { overrides, writable, importance })
    case 'mixture':
      return planMixture(blueprint, request.mixture, { overrides, writable, importance })
    case 'type':
      return planType(blueprint, request.type, { overrides, writable })
    default:
      throw unknownKind(request)
  }
}

/** Below this many bits per weight types lose much quality without an importance matrix; llama-quantize refuses most of them. */
const fewBits = 3
/** Types for models that were trained in them. */
const trainedTypes: ReadonlySet<GgmlTypeName> = new Set(['TQ1_0', 'TQ2_0', 'Q1_0', 'Q2_0'])

/** Tensors with types of 1 and 2 bits, but for the source's own blocks, which are copied. */
function lowTensors({ tensors: sources }: Blueprint, { tensors }: Plan): Plan['tensors'] {
  return tensors.filter(
    ({ type }, index) =>
      ggmlType(type).bitsPerWeight < fewBits && !isCopy((sources[index] as Blueprint['tensors'][number]).recipe, type),
  )
}

/** Notes that types of 1 and 2 bits need an importance matrix, or a model that was trained in them. */
function lowTypeNotes(blueprint: Blueprint, plan: Plan, hasImportance: boolean): string[] {
  const low = lowTensors(blueprint, plan)
  const asked = new Set((plan.request?.candidates ?? []).map((name) => name.toUpperCase()))
  const isForTrained = ({ type }: Plan['tensors'][number]): boolean => trainedTypes.has(type) && !asked.has(type)
  const [trained, others] = [low.filter(isForTrained), low.filter((tensor) => !isForTrained(tensor))]
  const { length } = plan.tensors
  return [
    ...(hasImportance ? [] : importanceNotes(others, length)),
    ...trainedNotes(trained, length),
    ...newTypeNotes(others, length),
  ]
}

/** Types that llama.cpp is known to read from 0.5.0 on, the oldest version that was tried. */
const newTypes: ReadonlySet<GgmlTypeName> = new Set(['Q1_0', 'Q2_0'])

function newTypeNotes(low: Plan['tensors'], count: number): string[] {
  const those = low.filter(({ type }) => newTypes.has(type))
  if (those.length === 0) return []
  const types = [...new Set(those.map(({ type }) => type))].join(', ')
  return [`${those.length} of ${count} tensors have ${types}, which llama.cpp reads from 0.5.0 on; older runtimes may not.`]
}

function trainedNotes(low: Plan['tensors'], count: number): string[] {
  if (low.length === 0) return []
  const types = [...new Set(low.map(({ type }) => type))].join(', ')
  return [
    `${low.length} of ${count} tensors have a type for models that were trained in it (${types}): any other model is unusable in it.`,
  ]
}

function importanceNotes(low: Plan['tensors'], count: number): string[] {
  if (low.length === 0) return []
  const types = [...new Set(low.map(({ type }) => type))].join(', ')
  return [
    `${low.length} of ${count} tensors have types of fewer than ${fewBits} bits (${types}), which lose much without an importance matrix or a calibration.`,
  ]
}
