import { createRequire } from 'node:module'
import { holdKernels } from '../../formats/ggml/load-kernels.js'
import { MqError } from '../errors/index.js'
import type { Executor } from './executor.js'
import { messageExecutor } from './message-executor.js'
import type { PrepareReply, WorkerMessage, WorkerReply, WorkerSetup } from './task.js'

const require = createRequire(import.meta.url)

/** Young generation of a thread's JavaScript heap. Workers allocate few objects; with a larger one, blocks that are already written stay in memory until a collection. */
const maxYoungGenerationSizeMb = 1

/** Tasks of a thread at a time: one computes while another's rows are read and a third's blocks are written. */
const tasksEach = 3

/** Settings of the threads. */
export interface ThreadOptions {
  readonly setup: WorkerSetup
  readonly threads: number
  /** The module that threads run, compiled; a test may give another. */
  readonly worker?: string
}

/** Runs tasks on worker threads, which share the memory of prepared data. */
export async function threadExecutor({ setup, threads, worker }: ThreadOptions): Promise<Executor> {
  const [{ Piscina }] = await Promise.all([import('piscina'), holdKernels()])
  const pool = new Piscina<WorkerMessage, WorkerReply | PrepareReply>({
    filename: worker ?? require.resolve('#quantize-worker'),
    minThreads: threads,
    maxThreads: threads,
    workerData: setup,
    concurrentTasksPerWorker: tasksEach,
    resourceLimits: { maxYoungGenerationSizeMb },
  })
  const send = (message: WorkerMessage, what: string): Promise<WorkerReply | PrepareReply> =>
    pool.run(message).catch((error: unknown) => {
      throw crashOf(error, ` at ${what}`)
    })
  return {
    ...messageExecutor(setup, send),
    capacity: tasksEach * threads,
    // A thread that does not even start belongs to no task.
    onFailure: (listener) => void pool.on('error', (error: Error) => listener(crashOf(error))),
    close: () => pool.destroy(),
  }
}

function crashOf(cause: unknown, where = ''): MqError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return MqError.of('INTERNAL', { problem: `a worker thread ended${where}: ${reason}` }, { cause })
}
