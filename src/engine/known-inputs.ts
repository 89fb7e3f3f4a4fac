import { feedbackLayout } from '../../formats/ggml/feedback-forms.js'
import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { CovarianceSource } from '../covariance/index.js'
import { rowLength } from '../recipe/index.js'
import type { Importance } from './row-ranges.js'
import type { PreparedKey, RowRun } from './task.js'

/** What is known of the inputs of a model's weights, as src/imatrix opens it. */
export interface KnownInputs {
  /** Of the file. */
  readonly digest: string
  /** It follows from the weights of the model, without a calibration: no plan is tied to it. */
  readonly weightsAlone?: true
  readonly importance: Importance
  /** Names the input of one matrix (expert or head, counted from 0) of a tensor; undefined where only its importance is known. */
  inputOf(tensor: string, matrix: number): string | undefined
  /** Directions that are known of an input, beside the diagonal. */
  rankOf(input: string): number | 'whole'
  /** What the mean of x x^T over the inputs x of that name is made from. */
  source(input: string): Promise<CovarianceSource>
  /** Rows of inputs, row-major, that the covariance does not know. */
  heldOut(input: string): Promise<Float32Array>
}

/** Where no other was chosen; docs/decisions/0009-error-feedback.md. */
export const defaultDamping = 0.3

/** Whether covariances can be damped by so much; 0 stands for no feedback. */
export function isDamping(damping: number): boolean {
  return damping === 0 || (damping >= 1e-4 && damping <= 1e4)
}

/** Whether codes of a tensor can be chosen with feedback once its input is known. */
export function takesFeedback(type: GgmlTypeName, columns: number): boolean {
  return feedbackLayout(type) !== undefined && columns % 32 === 0
}

/**
 * What rows need that are stored in some types: with feedback where `damping` is not 0, and with errors in the outputs.
 * @returns undefined where nothing is known of the inputs.
 */
export function needsOf(
  { recipe, input }: RowRun,
  types: readonly GgmlTypeName[],
  damping: number,
): readonly PreparedKey[] | undefined {
  const columns = rowLength(recipe)
  if (input === undefined || columns % 32 !== 0) return undefined
  const layouts = new Set(damping === 0 ? [] : types.flatMap((type) => feedbackLayout(type) ?? []))
  const factors = [...layouts].map((form) => ({ input, form, damping, columns }))
  return [...factors, { input, form: 'outputs', damping: 0, columns }]
}

/** Values of the rows that are looked at of what was held out: 512 rows of 4096. */
const heldOutValues = 2 ** 21
/** About what they take while they are made ready: read, scaled, sent, laid out. */
export const heldOutBytes = 4 * 4 * heldOutValues

/** Rows of inputs that the covariance does not know, as many as are looked at, spread over all there are. */
export async function heldOutRows(calibration: KnownInputs, input: string, columns: number): Promise<Float32Array> {
  const rows = await calibration.heldOut(input)
  const count = rows.length / columns
  const most = Math.floor(Math.min(512, heldOutValues / columns))
  if (count <= most) return rows
  const some = new Float32Array(most * columns)
  for (let row = 0; row < most; row++) {
    const from = Math.floor(((row + 0.5) * count) / most) * columns
    some.set(rows.subarray(from, from + columns), row * columns)
  }
  return some
}
