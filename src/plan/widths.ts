import { ggmlType } from '../../formats/ggml/types.js'
import { smoothedImportance, smoothedInputs, widenedImportance, widenedInputs } from '../calibration/index.js'
import type { Importance, InputCovariances } from '../engine/index.js'
import { MqError } from '../errors/index.js'
import {
  type Blueprint,
  type BlueprintTensor,
  rowChanges,
  smooth,
  usefulChanges,
  type WidenRequest,
  type Widths,
  widen,
} from '../model/index.js'
import type { WithProgress } from '../progress/index.js'
import type { Plan } from './plan.js'

/** Expected loss of a widened model, relative to the narrower one, above which it is not chosen: its activations are larger. */
const maxLossRatio = 0.97

/** A plan with its expected loss. */
export interface CostedPlan {
  readonly plan: Plan
  /** Expected KL divergence up to a constant factor: comparable between plans of one model. */
  readonly loss: number
}

/** Importance matrix and input covariances, for planning and quantizing. */
export interface Inputs {
  readonly importance?: Importance
  readonly calibration?: InputCovariances
}

/** The model that a plan is for: widened and smoothed as the plan says. @throws MqError WIDTH_FIXED, OPTION_INVALID, PLAN_MISMATCH. */
export function modelOfPlan(blueprint: Blueprint, { widths, smoothing }: Pick<Plan, 'widths' | 'smoothing'>): Blueprint {
  const wide = widths === undefined || blueprint.widened !== undefined ? blueprint : widen(blueprint, widths)
  return smoothing === undefined || wide.smoothing !== undefined ? wide : smooth(wide, smoothing)
}

/** Importance and covariances of a model, converted for its widened and smoothed form. @param model the result of modelOfPlan. */
export function inputsOfPlan<Given extends Inputs>(inputs: Given, blueprint: Blueprint, model: Blueprint): Given {
  if (model === blueprint) return inputs
  const { smoothing } = model
  const { importance, calibration } = inputs
  // Measurements of a file that is already widened have its widths.
  const isAsWide = model.widened === blueprint.widened
  const wide = isAsWide
    ? { importance, calibration }
    : {
        importance: importance && widenedImportance(importance, model),
        calibration: calibration && widenedInputs(calibration, model),
      }
  if (smoothing === undefined) return { ...inputs, ...wide }
  return {
    ...inputs,
    importance: wide.importance && smoothedImportance(wide.importance, model, smoothing),
    calibration: wide.calibration && smoothedInputs(wide.calibration, model, smoothing),
  }
}

/**
 * Plans the model with the requested widths; with `auto`, plans the original model, and forms with wider feed-forward layers, with a wider residual
 * stream, and with more heads, and returns the plan with the lowest expected loss at equal bytes (docs/experiments.md, 9).
 * @param planOf plans one of them.
 * @throws MqError WIDTH_FIXED, OPTION_INVALID, and what planOf throws: where no form fits the budget, for the form of the lowest minimum.
 */
export async function* chooseWidths(
  blueprint: Blueprint,
  request: WidenRequest,
  planOf: (model: Blueprint) => WithProgress<CostedPlan>,
): WithProgress<{ readonly plan: Plan; readonly model: Blueprint }> {
  const plain = async function* (widths: Widths): WithProgress<{ plan: Plan; model: Blueprint }> {
    const model = widen(blueprint, widths)
    const { plan } = yield* planOf(model)
    return { plan: withWidths(plan, widths), model }
  }
  if (request === 'none') return yield* plain({})
  if (request === 'always') return yield* plain(usefulChanges(blueprint))
  if (request !== 'auto') return yield* plain(request)
  const tried: Tried[] = []
  let impossible: MqError | undefined
  for (const widths of candidatesOf(blueprint)) {
    if (tried[0] !== undefined && !mayGain(blueprint, tried[0])) break
    try {
      const model = widen(blueprint, widths)
      tried.push({ widths, model, result: yield* planOf(model) })
    } catch (error) {
      if (!isObstacle(error)) throw error
      impossible = impossible === undefined || minBytesOf(error) < minBytesOf(impossible) ? error : impossible
    }
  }
  const [first, ...others] = tried
  if (first === undefined) throw impossible
  const best = others.reduce((least, other) => (other.result.loss < maxLossRatio * least.result.loss ? other : least), first)
  const { plan } = best.result
  const narrow = tried.find(isNarrow)
  const noted = isNarrow(best) ? plan : { ...plan, notes: [...plan.notes, gainNote(best.result, narrow?.result)] }
  return { plan: withWidths(noted, best.widths), model: best.model }
}

/** A choice of widths, and the plan with it. */
interface Tried {
  readonly widths: Widths
  readonly model: Blueprint
  readonly result: CostedPlan
}

const isNarrow = ({ widths }: Pick<Tried, 'widths'>): boolean => Object.keys(widths).length === 0

/** The model as it is, then with wider feed-forward blocks, with a wider residual stream, and with more heads. */
function candidatesOf(blueprint: Blueprint): readonly Widths[] {
  const { embedding_length: embedding, 'attention.head_count': heads, ...feedForward } = usefulChanges(blueprint)
  const withStream = { ...feedForward, ...(embedding !== undefined && { embedding_length: embedding }) }
  const all = { ...withStream, ...(heads !== undefined && { 'attention.head_count': heads }) }
  const sizes = new Map([{}, feedForward, withStream, all].map((widths) => [JSON.stringify(widths), widths]))
  return [...sizes.values()]
}

/** At this many bits per weight other types gain nothing. */
const losslessBits = 8

/** Whether tensors whose rows widening would change have types with a measurable error. */
function mayGain(blueprint: Blueprint, { widths, result: { plan } }: Tried): boolean {
  if (!isNarrow({ widths })) return true
  const changeOf = rowChanges(blueprint)
  return plan.tensors.some(
    (planned, index) =>
      ggmlType(planned.type).bitsPerWeight < losslessBits && changeOf(blueprint.tensors[index] as BlueprintTensor) !== undefined,
  )
}

/** Whether an error excludes one of the widened models only: its budget is impossible, or a width is fixed. */
function isObstacle(error: unknown): error is MqError {
  return error instanceof MqError && (error.code === 'BUDGET_IMPOSSIBLE' || error.code === 'WIDTH_FIXED')
}

/** The smallest size of a form that does not fit its budget; of no use where a width is fixed. */
function minBytesOf({ details: { minBytes } }: MqError): number {
  return typeof minBytes === 'number' ? minBytes : Number.POSITIVE_INFINITY
}

function withWidths(plan: Plan, widths: Widths): Plan {
  return Object.keys(widths).length === 0 ? plan : { ...plan, widths }
}

function gainNote(wide: CostedPlan, narrow: CostedPlan | undefined): string {
  return narrow === undefined
    ? 'Only a widened model fits the budget.'
    : `At this size the widened model has ${Math.round(100 * (1 - wide.loss / narrow.loss))} % less expected loss than the model as it is.`
}
