import type { CovarianceSource } from '../covariance/index.js'
import type { PreparedKey, TaskResult, WorkerTask } from './task.js'

/**
 * Where tasks are done: threads of this process (thread-executor.ts); a queue to other processes and machines would be another. All that
 * goes in and comes out is data, and what several tasks need is made once and named by its content.
 */
export interface Executor {
  /** So many tasks are worth handing over at a time; more would only wait. */
  readonly capacity: number
  /**
   * Makes what tasks need of a covariance and keeps it under its content key.
   * @param origin the covariance that it is made from, where that is kept already; else `source` says what to read.
   * @returns the bytes that it takes.
   * @throws MqError, FormatError: what reading it throws.
   */
  prepare(key: PreparedKey, from: { readonly source: CovarianceSource } | { readonly origin: PreparedKey }): Promise<number>
  /** No task to come needs this any more, unless it is prepared again. */
  forget(key: PreparedKey): void
  /** Does a task, whose needs are all kept. @throws MqError, FormatError: what went wrong in the task; INTERNAL where the executor did. */
  run(task: WorkerTask): Promise<TaskResult>
  /** Is told of a failure that belongs to no task. */
  onFailure(listener: (error: Error) => void): void
  /** Ends all that is under way. */
  close(): Promise<void>
}

/** Where tasks put their blocks: places in files (file-access.ts); an upload would be another. */
export interface Sink {
  /** Puts the blocks of a task at its place. Places of two tasks never overlap, and come in any order. */
  put(place: { readonly output: string; readonly offset: number }, blocks: Uint8Array): Promise<void>
}

/** What names prepared data by its content: the calibration, the input, the form and its damping. */
export function contentKey(calibration: string, key: PreparedKey): string {
  return `${calibration} ${keyText(key)}`
}

/** What tells keys of one calibration apart. */
export function keyText({ input, form, damping }: PreparedKey): string {
  return `${form} ${damping} ${input}`
}
