import type { Covariance } from '../../formats/ggml/feedback.js'
import { feedbackLayout } from '../../formats/ggml/feedback-forms.js'
import type { GgmlTypeName } from '../../formats/ggml/types.js'
import { rowLength } from '../recipe/index.js'
import type { Importance } from './cut.js'
import type { FactorKey, RowRun } from './task.js'

/** What is known of the inputs of a model's weights, as src/imatrix opens it. */
export interface KnownInputs {
  /** Of the file. */
  readonly digest: string
  readonly importance: Importance
  /** Names the input of one matrix (expert or head, counted from 0) of a tensor; undefined where only its importance is known. */
  inputOf(tensor: string, matrix: number): string | undefined
  /** Mean of x x^T over the inputs x of that name. */
  covariance(input: string): Promise<Covariance>
  /** Rows of inputs, row-major, that the covariance does not know. */
  heldOut(input: string): Promise<Float32Array>
}

/** Where nothing else was chosen; docs/decisions/0009-error-feedback.md. */
export const defaultDamping = 0.3

/** Whether codes of a tensor can be chosen with feedback once its input is known. */
export function takesFeedback(type: GgmlTypeName, columns: number): boolean {
  return feedbackLayout(type) !== undefined && columns % 32 === 0
}

/**
 * The factor with which rows are stored in a type.
 * @param damping 0 for none.
 * @returns undefined where every weight goes to its nearest code.
 */
export function factorOf({ recipe, input }: RowRun, type: GgmlTypeName, damping: number): FactorKey | undefined {
  const columns = rowLength(recipe)
  const layout = feedbackLayout(type)
  if (input === undefined || layout === undefined || damping === 0 || !takesFeedback(type, columns)) return undefined
  return { input, layout, damping, columns }
}
