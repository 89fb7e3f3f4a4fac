import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import type { CovarianceSource } from '../covariance/index.js'
import { MqError } from '../errors/index.js'
import type { ErrorSums } from './error-sums.js'
import { errorOf } from './failure.js'
import { taskBytes } from './memory.js'
import { keyText, newPreparedCache } from './prepared-cache.js'
import type { PreparedKey, PrepareReply, WorkerMessage, WorkerReply, WorkerSetup, WorkerTask } from './task.js'

export interface PoolOptions {
  readonly setup: WorkerSetup
  /** Worker threads; by default one for each core that this process may use. */
  readonly threads?: number
  /** What all tasks under way may hold in memory together. */
  readonly memoryBytes?: number
  /** Where covariances come from; about what it takes to make of them what a task needs. */
  readonly inputs?: { source(key: PreparedKey): Promise<CovarianceSource>; bytesOf(key: PreparedKey): number }
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
  source: ({ input }: PreparedKey): Promise<CovarianceSource> => Promise.reject(new RangeError(`nothing is known of ${input}`)),
  bytesOf: (): number => 0,
}

/** Of a thread's JavaScript heap. Workers make few objects; where more is allowed, blocks that are written already wait for a collection. */
const maxYoungGenerationSizeMb = 1

/** Tasks of a thread at a time: one computes while another's rows are read and a third's blocks are written. */
const tasksEach = 3

/**
 * Runs tasks on worker threads and yields each as it ends, in no particular order. Tasks are taken from the iterable only as their
 * memory fits, with what they need of covariances: that is made once, while tasks before them still run, and kept as there is room. Whatever ends it - the last task, a failure, an abort, the consumer - no worker runs on after it.
 */
export async function* runTasks<Task extends WorkerTask>(
  tasks: Iterable<Task>,
  options: PoolOptions,
): AsyncGenerator<FinishedTask<Task>, void, void> {
  const { setup, threads = availableParallelism(), memoryBytes = defaultMemoryBytes, inputs = noInputs, signal, what } = options
  if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what })
  const { Piscina } = await import('piscina')
  const pool = new Piscina<WorkerMessage, WorkerReply | PrepareReply>({
    filename: options.worker ?? require.resolve('#quantize-worker'),
    minThreads: threads,
    maxThreads: threads,
    workerData: setup,
    concurrentTasksPerWorker: tasksEach,
    resourceLimits: { maxYoungGenerationSizeMb },
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
  const cache = newPreparedCache(
    async (key, made) => {
      const source: CovarianceSource =
        made !== undefined && 'covariance' in made ? { kind: 'known', ...made } : await inputs.source(key)
      return (await inWorker<PrepareReply>({ kind: 'prepare', key, source }, `the inputs ${key.input}`)).prepared
    },
    (key) => inputs.bytesOf(key),
  )
  const fits = (task: Task): boolean =>
    underWay === 0 ||
    (underWay < tasksEach * threads &&
      heldBytes + taskBytes(task) + cache.usedBytes + cache.missingBytes(task.needs ?? []) <= memoryBytes)
  const abort = (): void => fail(MqError.of('INTERRUPTED', { what }))
  const start = async (task: Task): Promise<void> => {
    const bytes = taskBytes(task)
    const { needs = [], nextNeeds = [] } = task
    underWay += 1
    heldBytes += bytes
    try {
      cache.shrinkTo(memoryBytes - heldBytes - cache.missingBytes(needs))
      const taken = cache.take(needs)
      prepareAhead(nextNeeds)
      const prepared = await taken
      // A thread has no use for the names of what it gets.
      const message: WorkerMessage = { ...task, needs: [], nextNeeds: [], prepared }
      const { sums, seconds, checksum } = await inWorker<WorkerReply>(message, task.tensor)
      finished.push({ task, sums, seconds, checksum })
    } catch (error) {
      fail(error as Error)
    }
    cache.release(needs)
    underWay -= 1
    heldBytes -= bytes
    wake()
  }
  const ahead = new Set<string>()
  /** Once for each, and only where it takes no room from what is used. */
  const prepareAhead = (keys: readonly PreparedKey[]): void => {
    for (const key of keys) {
      const room = memoryBytes - heldBytes - cache.usedBytes - cache.missingBytes([key])
      if (cache.has(key) || ahead.has(keyText(key)) || room < 0) continue
      ahead.add(keyText(key))
      cache.shrinkTo(memoryBytes - heldBytes - cache.missingBytes([key]))
      cache.take([key]).then(() => cache.release([key]), fail)
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
