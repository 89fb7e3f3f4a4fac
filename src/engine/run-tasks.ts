import { availableParallelism } from 'node:os'
import type { CovarianceSource } from '../covariance/index.js'
import { MqError } from '../errors/index.js'
import { type Executor, keyText } from './executor.js'
import { inlineExecutor } from './inline-executor.js'
import { taskBytes } from './memory.js'
import { newPreparedCache } from './prepared-cache.js'
import { lookAhead } from './small-work.js'
import type { PreparedKey, TaskResult, WorkerSetup, WorkerTask } from './task.js'
import { threadExecutor } from './thread-executor.js'

/** How tasks are run: settings, threads, memory, covariances. */
export interface RunOptions {
  readonly setup: WorkerSetup
  /** Worker threads; by default one for each core that this process may use. */
  readonly threads?: number
  /** Whether work that takes less time than the start of a thread runs in the calling thread; by default it does not. */
  readonly mayRunInline?: boolean
  /** Memory limit of all running tasks together, in bytes; by default none. See memoryShare. */
  readonly memoryBytes?: number
  /** Source of covariances, and the estimated bytes to prepare data from one. */
  readonly inputs?: {
    /** Digest of the calibration. */
    readonly digest: string
    source(key: PreparedKey): Promise<CovarianceSource>
    bytesOf(key: PreparedKey): number
  }
  readonly signal?: AbortSignal
  /** Name of the work, for INTERRUPTED. */
  readonly what: string
  /** The module that threads run, compiled; a test may give another. */
  readonly worker?: string
}

/** A task with its result. */
export interface FinishedTask<Task> extends TaskResult {
  readonly task: Task
}

const noInputs = {
  digest: '',
  source: ({ input }: PreparedKey): Promise<CovarianceSource> => Promise.reject(new RangeError(`nothing is known of ${input}`)),
  bytesOf: (): number => 0,
}

/**
 * Runs tasks on worker threads, or in the calling thread, and yields each as it ends, in no particular order. A task starts only when its memory
 * and its prepared data fit the limit. Prepared data is computed once, while earlier tasks still run, and is cached as memory allows. When the
 * generator ends - after the last task, a failure, an abort, or by its consumer - no task keeps running.
 */
export async function* runTasks<Task extends WorkerTask>(
  tasks: Iterable<Task>,
  options: RunOptions,
): AsyncGenerator<FinishedTask<Task>, void, void> {
  const {
    setup,
    threads = availableParallelism(),
    memoryBytes = Number.POSITIVE_INFINITY,
    inputs = noInputs,
    signal,
    what,
  } = options
  const isAborted = (): boolean => signal?.aborted === true
  if (isAborted()) throw MqError.of('INTERRUPTED', { what })
  const { tasks: queue, isSmall } =
    options.mayRunInline === true ? lookAhead(tasks) : { tasks: tasks[Symbol.iterator](), isSmall: false }
  const settings = { ...setup, calibration: inputs.digest }
  const executor: Executor = isSmall
    ? await inlineExecutor(settings)
    : await threadExecutor({ setup: settings, threads, worker: options.worker })
  const finished: FinishedTask<Task>[] = []
  let failure: Error | undefined
  let wake = (): void => {}
  let running = 0
  let heldBytes = 0

  const fail = (error: Error): void => {
    failure ??= error
    wake()
  }
  const cache = newPreparedCache(
    async (key, origin) => executor.prepare(key, origin === undefined ? { source: await inputs.source(key) } : { origin }),
    (key) => inputs.bytesOf(key),
    (key) => executor.forget(key),
  )
  const fits = (task: Task): boolean =>
    running === 0 ||
    (running < executor.capacity &&
      heldBytes + taskBytes(task) + cache.usedBytes + cache.missingBytes(task.needs ?? []) <= memoryBytes)
  const abort = (): void => fail(MqError.of('INTERRUPTED', { what }))
  const start = async (task: Task): Promise<void> => {
    const bytes = taskBytes(task)
    const { needs = [], nextNeeds = [] } = task
    running += 1
    heldBytes += bytes
    try {
      cache.shrinkTo(memoryBytes - heldBytes - cache.missingBytes(needs))
      const taken = cache.take(needs)
      prepareAhead(nextNeeds)
      await taken
      finished.push({ task, ...(await executor.run(task)) })
    } catch (error) {
      fail(error as Error)
    }
    cache.release(needs)
    running -= 1
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

  executor.onFailure(fail)
  signal?.addEventListener('abort', abort, { once: true })
  // While threads were started nobody listened.
  if (isAborted()) abort()
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
      if (running === 0) return
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  } finally {
    signal?.removeEventListener('abort', abort)
    await executor.close()
  }
}
