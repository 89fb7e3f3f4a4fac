import type { CovarianceSource } from '../covariance/index.js'
import type { PreparedKey, TaskResult, WorkerTask } from './task.js'

/**
 * Runs tasks: on threads of this process (thread-executor.ts), in the calling thread (inline-executor.ts), or elsewhere. Tasks and results are
 * plain data. Data that several tasks need is prepared once and identified by a content key.
 */
export interface Executor {
  /** Number of tasks to run at a time; further tasks would only wait. */
  readonly capacity: number
  /**
   * Computes data that tasks need from a covariance, and stores it under its content key.
   * @param from `origin`: the prepared covariance to compute it from; `source`: the covariance to read.
   * @returns its size in bytes.
   * @throws MqError, FormatError: what reading it throws.
   */
  prepare(key: PreparedKey, from: { readonly source: CovarianceSource } | { readonly origin: PreparedKey }): Promise<number>
  /** Discards prepared data: no later task needs it, unless it is prepared again. */
  forget(key: PreparedKey): void
  /** Runs a task whose prepared data is stored. @throws MqError, FormatError: errors of the task; INTERNAL for a failure of the executor. */
  run(task: WorkerTask): Promise<TaskResult>
  /** Calls the listener for a failure outside of any task. */
  onFailure(listener: (error: Error) => void): void
  /** Stops all running tasks. */
  close(): Promise<void>
}

/** Where tasks write their blocks: files (file-access.ts); an upload would be another. */
export interface Sink {
  /** Writes the blocks of a task at its offset. Ranges of two tasks never overlap, and come in any order. */
  put(target: { readonly output: string; readonly offset: number }, blocks: Uint8Array): Promise<void>
}

/** Content key of prepared data: digest of the calibration, input, form and damping. */
export function contentKey(calibration: string, key: PreparedKey): string {
  return `${calibration} ${keyText(key)}`
}

/** The key within one calibration. */
export function keyText({ input, form, damping }: PreparedKey): string {
  return `${form} ${damping} ${input}`
}
