import type { Effort } from '../../formats/ggml/codec.js'
import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { Recipe } from '../recipe/index.js'
import type { Failure } from './failure.js'
import type { ErrorSums } from './statistics.js'

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
}

/** Rows to be quantized and written: everything a worker has to know, as data. */
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
}

/** Rows to be quantized in several types, for their errors alone. */
export interface MeasureTask {
  readonly kind: 'measure'
  readonly tensor: string
  readonly runs: readonly RowRun[]
  readonly types: readonly GgmlTypeName[]
}

export type WorkerTask = QuantizeTask | MeasureTask

/**
 * What a task came to. `sums`: one entry for the type of a QuantizeTask (none if not measured), one for each type of a MeasureTask.
 * `seconds`: time of computing. `checksum`: CRC-32 of what was written.
 */
export type WorkerReply =
  | { readonly ok: true; readonly sums: readonly ErrorSums[]; readonly seconds: number; readonly checksum: number }
  | { readonly ok: false; readonly failure: Failure }

/** What is the same for all tasks of a pool. */
export interface WorkerSetup {
  /** Blueprint.files. */
  readonly files: readonly string[]
  /** Of the encoders; by default `default`. */
  readonly effort?: Effort
}

/** Values in a run of rows. */
export function runElements({ recipe, start, end }: RowRun): number {
  return (end - start) * (recipe.shape.at(-1) ?? 1)
}
