import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import type { Covariance } from '../../formats/ggml/feedback.js'
import { MqError } from '../errors.js'
import { keyText, newFactors } from './factors.js'
import { errorOf } from './failure.js'
import { taskBytes } from './memory.js'
import type { ErrorSums } from './statistics.js'
import type { FactorKey, PrepareReply, WorkerMessage, WorkerReply, WorkerSetup, WorkerTask } from './task.js'

export interface PoolOptions {
  readonly setup: WorkerSetup
  /** Worker threads; by default one for each core that this process may use. */
  readonly threads?: number
  /** What all tasks under way may hold in memory together. */
  readonly memoryBytes?: number
  /** Where factors come from that tasks name; about what it takes to make one. */
  readonly inputs?: { covariance(input: string): Promise<Covariance>; bytesOf(key: FactorKey): number }
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

const noInputs = {
  covariance: (input: string): Promise<Covariance> => Promise.reject(new RangeError(`nothing is known of the inputs ${input}`)),
  bytesOf: (): number => 0,
}

/** Tasks of a thread at a time: one computes while another's rows are read and a third's blocks are written. */
const tasksEach = 3

/**
 * Runs tasks on worker threads and yields each as it ends, in no particular order. Tasks are taken from the iterable only as their
 * memory fits, with that of the factors that they need: each is made once, while tasks before it still run, and kept as there is room. Whatever ends it - the last task, a failure, an abort, the consumer - no worker runs on after it.
 */
export async function* runTasks<Task extends WorkerTask>(
  tasks: Iterable<Task>,
  options: PoolOptions,
): AsyncGenerator<FinishedTask<Task>, void, void> {
  const { setup, threads = availableParallelism(), memoryBytes = defaultMemoryBytes, inputs = noInputs, signal, what } = options
  if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what })
  const pool = new Piscina<WorkerMessage, WorkerReply | PrepareReply>({
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
  const crashOf = (cause: unknown, where = ''): MqError => {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return MqError.of('INTERNAL', { problem: `a worker thread ended${where}: ${reason}` }, { cause })
  }
  const inWorker = async <Reply extends WorkerReply | PrepareReply>(
    message: WorkerMessage,
    what: string,
  ): Promise<Reply & { ok: true }> => {
    const reply = (await pool.run(message).catch((error: unknown) => {
      throw crashOf(error, ` at ${what}`)
    })) as Reply
    if (!reply.ok) throw errorOf(reply.failure)
    return reply as Reply & { ok: true }
  }
  const factors = newFactors(
    async (key) => {
      const covariance = await inputs.covariance(key.input)
      return (await inWorker<PrepareReply>({ kind: 'prepare', key, covariance }, `the inputs ${key.input}`)).factor
    },
    (key) => inputs.bytesOf(key),
  )
  const fits = (task: Task): boolean =>
    underWay === 0 ||
    (underWay < tasksEach * threads &&
      heldBytes + taskBytes(task) + factors.usedBytes + factors.missingBytes(task.factors ?? []) <= memoryBytes)
  const abort = (): void => fail(MqError.of('INTERRUPTED', { what }))
  const start = async (task: Task): Promise<void> => {
    const bytes = taskBytes(task)
    const { factors: keys = [], nextFactors = [] } = task
    underWay += 1
    heldBytes += bytes
    try {
      factors.shrinkTo(memoryBytes - heldBytes - factors.missingBytes(keys))
      const taken = factors.take(keys)
      prepareAhead(nextFactors)
      const prepared = await taken
      const { sums, seconds, checksum } = await inWorker<WorkerReply>(
        keys.length === 0 ? task : { ...task, prepared },
        task.tensor,
      )
      finished.push({ task, sums, seconds, checksum })
    } catch (error) {
      fail(error as Error)
    }
    factors.release(keys)
    underWay -= 1
    heldBytes -= bytes
    wake()
  }
  let ahead = ''
  /** Once for each factor, and only where it takes no room from what is used. */
  const prepareAhead = (keys: readonly FactorKey[]): void => {
    for (const key of keys) {
      const room = memoryBytes - heldBytes - factors.usedBytes - factors.missingBytes([key])
      if (factors.has(key) || keyText(key) === ahead || room < 0) continue
      ahead = keyText(key)
      factors.shrinkTo(memoryBytes - heldBytes - factors.missingBytes([key]))
      factors.take([key]).then(() => factors.release([key]), fail)
    }
  }

  // A thread that does not even start belongs to no task.
  pool.on('error', (error: Error) => fail(crashOf(error)))
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
