import { widenedImportance, widenedInputs } from '../calibration/index.js'
import type { Importance, InputCovariances } from '../engine/index.js'
import { MqError } from '../errors/index.js'
import { type Blueprint, usefulGrowths, type WidenRequest, type Widths, widen } from '../model/index.js'
import type { WithProgress } from '../progress/index.js'
import type { Plan } from './plan.js'

/** A wider model has to be better by so much to be worth its larger activations. */
const worthwhile = 0.97

/** A plan, and what it is expected to cost the model. */
export interface CostedPlan {
  readonly plan: Plan
  /** In the planner's own unit: comparable between plans of one model. */
  readonly loss: number
}

/** What planning and quantizing know of inputs. */
export interface Inputs {
  readonly importance?: Importance
  readonly calibration?: InputCovariances
}

/** The model that a plan is of: widened where the plan says so. @throws MqError WIDTH_FIXED, OPTION_INVALID. */
export function modelOfPlan(blueprint: Blueprint, { widths }: Pick<Plan, 'widths'>): Blueprint {
  return widths === undefined || blueprint.widened !== undefined ? blueprint : widen(blueprint, widths)
}

/** What is known of a model's inputs, for the same model with wider rows. */
export function inputsOfPlan<Given extends Inputs>(inputs: Given, blueprint: Blueprint, wide: Blueprint): Given {
  if (wide === blueprint) return inputs
  const { importance, calibration } = inputs
  return {
    ...inputs,
    importance: importance && widenedImportance(importance, wide),
    calibration: calibration && widenedInputs(calibration, wide),
  }
}

/**
 * Plans the model with the widths that are asked for; with `auto` the best of the model as it is, with wider feed-forward blocks, and with
 * all widths that help.
 * @param planOf plans one of them.
 * @throws MqError WIDTH_FIXED, OPTION_INVALID, and what planOf throws for the model as it is.
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
  const useful = usefulGrowths(blueprint)
  if (request === 'always') return yield* plain(useful)
  if (request !== 'auto') return yield* plain(request)
  const { embedding_length: embedding, ...feedForward } = useful
  const candidates = [feedForward, ...(embedding === undefined ? [] : [useful])].filter(
    (widths) => Object.keys(widths).length > 0,
  )
  const tried: { readonly widths: Widths; readonly model: Blueprint; readonly result: CostedPlan }[] = []
  let impossible: unknown
  for (const widths of [{}, ...candidates]) {
    try {
      const model = widen(blueprint, widths)
      tried.push({ widths, model, result: yield* planOf(model) })
    } catch (error) {
      if (!isObstacle(error)) throw error
      impossible = error
    }
  }
  const [first, ...others] = tried
  if (first === undefined) throw impossible
  const best = others.reduce((least, other) => (other.result.loss < worthwhile * least.result.loss ? other : least), first)
  const { plan } = best.result
  const narrow = tried.find(({ widths }) => Object.keys(widths).length === 0)
  const noted =
    best === narrow || Object.keys(best.widths).length === 0
      ? plan
      : { ...plan, notes: [...plan.notes, gainNote(best.result, narrow?.result)] }
  return { plan: withWidths(noted, best.widths), model: best.model }
}

/** A budget that one of the models cannot meet, or a tensor that does not let it grow, leaves the others. */
function isObstacle(error: unknown): boolean {
  return error instanceof MqError && (error.code === 'BUDGET_IMPOSSIBLE' || error.code === 'WIDTH_FIXED')
}

function withWidths(plan: Plan, widths: Widths): Plan {
  return Object.keys(widths).length === 0 ? plan : { ...plan, widths }
}

function gainNote(wide: CostedPlan, narrow: CostedPlan | undefined): string {
  return narrow === undefined
    ? 'The budget is met by a wider model alone.'
    : `At these bytes the wider model is expected to lose ${Math.round(100 * (1 - wide.loss / narrow.loss))} % less than the model as it is.`
}
