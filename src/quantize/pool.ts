import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import { MqError } from '../errors.js'
import { errorOf } from './failure.js'
import { taskBytes } from './memory.js'
import type { ErrorSums } from './statistics.js'
import type { WorkerReply, WorkerSetup, WorkerTask } from './task.js'

export interface PoolOptions {
  readonly setup: WorkerSetup
  /** Worker threads; by default one for each core that this process may use. */
  readonly threads?: number
  /** What all tasks under way may hold in memory together. */
  readonly memoryBytes?: number
  readonly signal?: AbortSignal
  /** What is being done, for INTERRUPTED. */
  readonly what: string
  /** The module that threads run, compiled; a test may give another. */
  readonly worker?: string
}

export interface FinishedTask<Task> {
  readonly task: Task
  readonly sums: readonly ErrorSums[]
  readonly seconds: number
  /** CRC-32 of what was written. */
  readonly checksum: number
}

const require = createRequire(import.meta.url)

const defaultMemoryBytes = 512 * 2 ** 20

/** Tasks of a thread at a time: one computes while another's rows are read and a third's blocks are written. */
const tasksEach = 3

/**
 * Runs tasks on worker threads and yields each as it ends, in no particular order. Tasks are taken from the iterable only as their
 * memory fits. Whatever ends it - the last task, a failure, an abort, the consumer - no worker runs on after it.
 */
export async function* runTasks<Task extends WorkerTask>(
  tasks: Iterable<Task>,
  options: PoolOptions,
): AsyncGenerator<FinishedTask<Task>, void, void> {
  const { setup, threads = availableParallelism(), memoryBytes = defaultMemoryBytes, signal, what } = options
  if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what })
  const pool = new Piscina<Task, WorkerReply>({
    filename: options.worker ?? require.resolve('#quantize-worker'),
    minThreads: threads,
    maxThreads: threads,
    workerData: setup,
    concurrentTasksPerWorker: tasksEach,
  })
  const queue = tasks[Symbol.iterator]()
  const finished: FinishedTask<Task>[] = []
  let failure: Error | undefined
  let wake = (): void => {}
  let underWay = 0
  let heldBytes = 0

  const fail = (error: Error): void => {
    failure ??= error
    wake()
  }
  const crash = (cause: unknown, where = ''): void => {
    const reason = cause instanceof Error ? cause.message : String(cause)
    fail(MqError.of('INTERNAL', { problem: `a worker thread ended${where}: ${reason}` }, { cause }))
  }
  const fits = (task: Task): boolean =>
    underWay === 0 || (underWay < tasksEach * threads && heldBytes + taskBytes(task) <= memoryBytes)
  const abort = (): void => fail(MqError.of('INTERRUPTED', { what }))
  const start = async (task: Task): Promise<void> => {
    const bytes = taskBytes(task)
    underWay += 1
    heldBytes += bytes
    try {
      const reply = await pool.run(task)
      if (reply.ok) finished.push({ task, sums: reply.sums, seconds: reply.seconds, checksum: reply.checksum })
      else fail(errorOf(reply.failure))
    } catch (error) {
      crash(error, ` at ${task.tensor}`)
    }
    underWay -= 1
    heldBytes -= bytes
    wake()
  }

  // A thread that does not even start belongs to no task.
  pool.on('error', (error: Error) => crash(error))
  signal?.addEventListener('abort', abort, { once: true })
  try {
    let next = queue.next()
    for (;;) {
      while (next.done !== true && fits(next.value)) {
        void start(next.value)
        next = queue.next()
      }
      if (failure !== undefined) throw failure
      if (finished.length > 0) {
        yield* finished.splice(0)
        continue
      }
      if (underWay === 0) return
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  } finally {
    signal?.removeEventListener('abort', abort)
    await pool.destroy()
  }
}
