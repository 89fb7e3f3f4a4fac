import type { Covariance } from '../../formats/ggml/covariance.js'
import type { Effort } from '../../formats/ggml/effort.js'
import type { FeedbackFactor } from '../../formats/ggml/feedback.js'
import type { FeedbackLayout } from '../../formats/ggml/feedback-forms.js'
import type { OutputForm } from '../../formats/ggml/output-error.js'
import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { CovarianceSource } from '../covariance/index.js'
import type { Recipe } from '../recipe/index.js'
import type { ErrorSums } from './error-sums.js'
import type { Failure } from './failure.js'

/** Consecutive rows of a recipe that share their importance. */
export interface RowRun {
  readonly recipe: Recipe
  /** First row, of the recipe. */
  readonly start: number
  /** One past the last row, of the recipe. */
  readonly end: number
  /** The number of `start` among the rows of the whole tensor: what a message names. */
  readonly tensorRow: number
  /** One weight for each column; without it every column counts the same. */
  readonly importance?: Float32Array
  /** Key of the rows' input covariance; absent where there is none. */
  readonly input?: string
}

/** Key of data prepared from a covariance, which tasks share. */
export interface PreparedKey {
  readonly input: string
  /**
   * For error feedback in types of a layout; for errors in the outputs; for the same on inputs that were held out. The covariance itself
   * is what the first two are made from.
   */
  readonly form: FeedbackLayout | 'outputs' | 'held-out' | 'covariance'
  /** Damping of error feedback. */
  readonly damping: number
  /** Of the input. */
  readonly columns: number
}

/** Data prepared from a covariance; large parts are in memory that threads share. */
export type Prepared = FeedbackFactor | OutputForm | { readonly covariance: Covariance }

/** Rows to quantize and write: everything that a worker needs, as data. */
export interface QuantizeTask {
  readonly kind: 'quantize'
  /** Its number among all tasks of the output, counted from 0: what a journal knows it by. */
  readonly number: number
  readonly tensor: string
  /** Which of the tensor's tasks this is, counted from 0. */
  readonly part: number
  readonly run: RowRun
  readonly type: GgmlTypeName
  /** The file to write into, and where. */
  readonly output: string
  readonly offset: number
  /**
   * `copy`: the source holds these blocks already. `exact`: the type holds every value of the source, so there is no error to measure.
   */
  readonly method: 'copy' | 'exact' | 'measure'
  /** Rows of the run, counted from its first, whose errors are measured. */
  readonly measured: { readonly start: number; readonly end: number }
  /** Prepared data for error feedback and output errors; without it each weight gets its nearest code. */
  readonly needs?: readonly PreparedKey[]
  /** Prepared data that later tasks will need. */
  readonly nextNeeds?: readonly PreparedKey[]
}

/** Rows of one input to be quantized in several types, for their errors alone. */
export interface MeasureTask {
  readonly kind: 'measure'
  readonly tensor: string
  readonly runs: readonly RowRun[]
  readonly types: readonly GgmlTypeName[]
  /** For errors in the outputs, and for types that are chosen with feedback one of each of their layouts. */
  readonly needs?: readonly PreparedKey[]
  readonly nextNeeds?: readonly PreparedKey[]
}

/** Work whose parts are reported one by one. */
export type WorkerTask = QuantizeTask | MeasureTask

/** Prepares a covariance. */
export interface PrepareTask {
  readonly kind: 'prepare'
  readonly key: PreparedKey
  readonly source: CovarianceSource
}

/** What goes to a worker: a task with what it needs, in the same order. */
export type WorkerMessage = PrepareTask | (WorkerTask & { readonly prepared?: readonly Prepared[] })

/** Result of a PrepareTask. */
export type PrepareReply = { readonly ok: true; readonly prepared: Prepared } | { readonly ok: false; readonly failure: Failure }

/** What a task came to; see WorkerReply. */
export interface TaskResult {
  readonly sums: readonly ErrorSums[]
  readonly seconds: number
  /** CRC-32 of what was written. */
  readonly checksum: number
}

/**
 * Result of a task. `sums`: one entry for the type of a QuantizeTask (none if not measured), one for each type of a MeasureTask.
 * `seconds`: time of computing. `checksum`: CRC-32 of what was written.
 */
export type WorkerReply = (TaskResult & { readonly ok: true }) | { readonly ok: false; readonly failure: Failure }

/** Settings of all tasks of a pool. */
export interface WorkerSetup {
  /** Blueprint.files. */
  readonly files: readonly string[]
  /** Digest of the calibration that prepared data is made from. */
  readonly calibration?: string
  /** Of the encoders; by default `default`. */
  readonly effort?: Effort
}

/** Values in a run of rows. */
export function runElements({ recipe, start, end }: RowRun): number {
  return (end - start) * (recipe.shape.at(-1) ?? 1)
}
