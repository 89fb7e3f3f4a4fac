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
  /** The row of the whole tensor that `start` is, for messages. */
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
   * Tables for error feedback in the types of a layout; data for output errors, on the covariance or on held-out activations; or the
   * covariance itself, which tables and `outputs` are computed from.
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
  /** Number among all tasks of the output, counted from 0: its key in the journal. */
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
   * `copy`: the source has these blocks. `lossless`: the type stores every value without loss, so there is no error to measure.
   */
  readonly method: 'copy' | 'lossless' | 'measure'
  /** Rows of the run, counted from its first, whose errors are measured. */
  readonly measured: { readonly start: number; readonly end: number }
  /** Prepared data for error feedback and output errors; without it each weight gets its nearest code. */
  readonly needs?: readonly PreparedKey[]
  /** Prepared data that later tasks will need. */
  readonly nextNeeds?: readonly PreparedKey[]
}

/** Rows with one input to quantize in several types, to measure their errors. */
export interface MeasureTask {
  readonly kind: 'measure'
  readonly tensor: string
  readonly runs: readonly RowRun[]
  readonly types: readonly GgmlTypeName[]
  /** Prepared data for output errors, and for error feedback in each layout of the types. */
  readonly needs?: readonly PreparedKey[]
  readonly nextNeeds?: readonly PreparedKey[]
}

/** A task that produces a result of its own. */
export type WorkerTask = QuantizeTask | MeasureTask

/** Prepares a covariance. */
export interface PrepareTask {
  readonly kind: 'prepare'
  readonly key: PreparedKey
  readonly source: CovarianceSource
}

/** Message to a worker: a task with its prepared data, in the order of `needs`. */
export type WorkerMessage = PrepareTask | (WorkerTask & { readonly prepared?: readonly Prepared[] })

/** Result of a PrepareTask. */
export type PrepareReply = { readonly ok: true; readonly prepared: Prepared } | { readonly ok: false; readonly failure: Failure }

/** Results of a task; see WorkerReply. */
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
