import { feedbackLayout } from '../../formats/ggml/feedback-forms.js'
import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { CovarianceSource } from '../covariance/index.js'
import { rowLength } from '../recipe/index.js'
import type { Importance } from './row-ranges.js'
import { sampleRows } from './sample-rows.js'
import type { PreparedKey, RowRun } from './task.js'

/** Covariances of the inputs of a model's weight matrices, from a calibration file or from the weights alone. */
export interface InputCovariances {
  /** SHA-256 of the calibration file. */
  readonly digest: string
  /** True if computed from the model's weights, without a calibration file: no plan is tied to it. */
  readonly fromWeights?: true
  readonly importance: Importance
  /** Key of the input of one matrix (expert or head, from 0) of a tensor; undefined where it has no covariance. */
  inputOf(tensor: string, matrix: number): string | undefined
  /** Rank of an input's covariance, besides the diagonal. */
  rankOf(input: string): number | 'whole'
  /** The data that E[x x^T] of that input is computed from. */
  source(input: string): Promise<CovarianceSource>
  /** Held-out activation rows of an input, row-major. */
  heldOut(input: string): Promise<Float32Array>
}

/** Damping where none was chosen; docs/decisions/0009-error-feedback.md. */
export const defaultDamping = 0.3

/** Whether a damping is valid; 0 means no error feedback. */
export function isDamping(damping: number): boolean {
  return damping === 0 || (damping >= 1e-4 && damping <= 1e4)
}

/** Whether a type supports error feedback for rows of this length. */
export function takesFeedback(type: GgmlTypeName, columns: number): boolean {
  return feedbackLayout(type) !== undefined && columns % 32 === 0
}

/**
 * Prepared data that rows in some types need: for error feedback where `damping` is not 0, and for output errors.
 * @returns undefined where the input has no covariance.
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

/** Limit for held-out values: 512 rows of 4096. */
const heldOutValues = 2 ** 21
/** Estimated bytes while they are prepared: read, scaled, sent, laid out. */
export const heldOutBytes = 4 * 4 * heldOutValues

/** Held-out rows of an input, up to the limit, evenly spaced over all. */
export async function heldOutRows(calibration: InputCovariances, input: string, columns: number): Promise<Float32Array> {
  const rows = await calibration.heldOut(input)
  return sampleRows(rows, columns, Math.floor(Math.min(512, heldOutValues / columns)))
}
