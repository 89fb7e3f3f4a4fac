import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import type { Measure } from './plan-bytes.js'

/**
 * Relative errors of types where no weights can be looked at: geometric means over all matrices of the two samples, encoded by our kernels
 * without importance. Each matrix was within 15 % of them, whatever its role and width; a test holds them to one. The types from Q1_0 on, which a budget
 * takes on demand only, were measured over the projections of llama-kjv.
 */
export const typicalErrors: Partial<Record<GgmlTypeName, number>> = {
  IQ1_S: 0.217,
  IQ1_M: 0.185,
  IQ2_XXS: 0.113,
  IQ2_XS: 0.0846,
  IQ2_S: 0.0598,
  Q2_K: 0.0677,
  IQ3_XXS: 0.0321,
  IQ3_S: 0.0178,
  Q3_K: 0.0207,
  IQ4_XS: 0.00548,
  IQ4_NL: 0.00541,
  Q4_0: 0.00654,
  Q4_K: 0.00487,
  Q5_0: 0.00159,
  Q5_K: 0.00116,
  Q6_K: 0.00028,
  Q8_0: 0.0000292,
  Q1_0: 0.363,
  Q2_0: 0.123,
  TQ1_0: 0.191,
  TQ2_0: 0.191,
  MXFP4: 0.0135,
  NVFP4: 0.00926,
  Q4_1: 0.00476,
  Q5_1: 0.00111,
}

/** The note of a plan that was made with them. */
export const typicalErrorsNote = 'Errors are typical values for each type: no weights were read.'

/** A `Measure` that returns typical errors, for models whose weights cannot be read. */
export const typicalMeasure: Measure = async function* ({ requests }) {
  yield { stage: 'measure', done: 1, total: 1, unit: 'tensors' }
  return new Map(
    requests.map(({ tensor, types }) => [tensor, new Map(types.map((type) => [type, { relativeError: errorOf(type) }]))]),
  )
}

function errorOf(type: GgmlTypeName): number {
  const error = typicalErrors[type]
  if (error === undefined) throw new RangeError(`no typical error of ${type} is known`)
  return error
}
