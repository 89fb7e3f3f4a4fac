import type { Blueprint, Widths } from '../model/index.js'
import { widen } from '../model/index.js'
import type { Measure } from './allocate/index.js'
import { calibrationOf, smoothed } from './make-plan.js'
import { type Inputs, inputsOfPlan } from './widths.js'

/** The form of a model that is measured while it is planned, as plain data: another process can make the same. */
export interface MeasuredForm {
  /** Sizes of the widths that were widened. */
  readonly widths: Widths
  readonly isSmoothed: boolean
  /** Whether covariances are used: of a calibration, or those that follow from the weights. */
  readonly usesCovariances: boolean
}

/** The form that a `Measure` is asked about. @param base the model that is planned. */
export function formOf(base: Blueprint, { blueprint, calibration }: Parameters<Measure>[0]): MeasuredForm {
  const changes = base.widened === undefined ? (blueprint.widened?.widths ?? {}) : {}
  return {
    widths: Object.fromEntries(Object.entries(changes).map(([key, { to }]) => [key, to])),
    isSmoothed: base.smoothing === undefined && blueprint.smoothing !== undefined,
    usesCovariances: calibration !== undefined,
  }
}

/** What `measure` takes for a form of a model. @param inputs of the model as it is. @throws what widen throws. */
export function madeForm(
  base: Blueprint,
  inputs: Inputs,
  { widths, isSmoothed, usesCovariances }: MeasuredForm,
): Inputs & { readonly blueprint: Blueprint } {
  const known = (model: Blueprint): Inputs => {
    const own = inputsOfPlan(inputs, base, model)
    return { ...own, calibration: calibrationOf(model, own) }
  }
  const wide = widen(base, widths)
  const blueprint = isSmoothed ? smoothed(wide, known(wide)) : wide
  const { importance, calibration } = known(blueprint)
  return { blueprint, importance, calibration: usesCovariances ? calibration : undefined }
}
