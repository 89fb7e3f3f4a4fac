import { createRequire } from 'node:module'
import { MqError } from '../errors/index.js'
import { contentKey, type Executor } from './executor.js'
import { errorOf } from './failure.js'
import { sizeOf } from './prepared-bytes.js'
import type { Prepared, PreparedKey, PrepareReply, WorkerMessage, WorkerReply, WorkerSetup } from './task.js'

const require = createRequire(import.meta.url)

/** Of a thread's JavaScript heap. Workers make few objects; where more is allowed, blocks that are written already wait for a collection. */
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

/** Does tasks on threads of this process, which share the memory of what is prepared. */
export async function threadExecutor({ setup, threads, worker }: ThreadOptions): Promise<Executor> {
  const { Piscina } = await import('piscina')
  const pool = new Piscina<WorkerMessage, WorkerReply | PrepareReply>({
    filename: worker ?? require.resolve('#quantize-worker'),
    minThreads: threads,
    maxThreads: threads,
    workerData: setup,
    concurrentTasksPerWorker: tasksEach,
    resourceLimits: { maxYoungGenerationSizeMb },
  })
  const kept = new Map<string, Prepared>()
  const keyOf = (key: PreparedKey): string => contentKey(setup.calibration ?? '', key)
  const keptAt = (key: PreparedKey): Prepared => {
    const found = kept.get(keyOf(key))
    if (found === undefined) throw new RangeError(`${keyOf(key)} is not prepared`)
    return found
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
  return {
    capacity: tasksEach * threads,
    async prepare(key, from) {
      const origin = 'origin' in from ? keptAt(from.origin) : undefined
      const source = origin !== undefined && 'covariance' in origin ? ({ kind: 'known', ...origin } as const) : undefined
      const message = {
        kind: 'prepare',
        key,
        source: source ?? (from as Extract<typeof from, { source: unknown }>).source,
      } as const
      const { prepared } = await inWorker<PrepareReply>(message, `the inputs ${key.input}`)
      kept.set(keyOf(key), prepared)
      return sizeOf(prepared)
    },
    forget: (key) => void kept.delete(keyOf(key)),
    async run(task) {
      const prepared = (task.needs ?? []).map(keptAt)
      // A thread has no use for the names of what it gets.
      const { sums, seconds, checksum } = await inWorker<WorkerReply>(
        { ...task, needs: [], nextNeeds: [], prepared },
        task.tensor,
      )
      return { sums, seconds, checksum }
    },
    // A thread that does not even start belongs to no task.
    onFailure: (listener) => void pool.on('error', (error: Error) => listener(crashOf(error))),
    close: () => pool.destroy(),
  }
}

function crashOf(cause: unknown, where = ''): MqError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return MqError.of('INTERNAL', { problem: `a worker thread ended${where}: ${reason}` }, { cause })
}
