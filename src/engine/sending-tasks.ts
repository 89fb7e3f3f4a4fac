import { contentKey, type Executor } from './executor.js'
import { errorOf } from './failure.js'
import { sizeOf } from './prepared-bytes.js'
import type { Prepared, PreparedKey, PrepareReply, WorkerMessage, WorkerReply, WorkerSetup } from './task.js'

/**
 * What executors of this process share: keeps what is prepared, and sends tasks with what they need to a TaskRunner.
 * @param send hands a message to a runner. `what`: what it is about, for an error of the way there.
 */
export function sendingTasks(
  { calibration = '' }: WorkerSetup,
  send: (message: WorkerMessage, what: string) => Promise<WorkerReply | PrepareReply>,
): Pick<Executor, 'prepare' | 'forget' | 'run'> {
  const kept = new Map<string, Prepared>()
  const keyOf = (key: PreparedKey): string => contentKey(calibration, key)
  const keptAt = (key: PreparedKey): Prepared => {
    const found = kept.get(keyOf(key))
    if (found === undefined) throw new RangeError(`${keyOf(key)} is not prepared`)
    return found
  }
  const replyTo = async <Reply extends WorkerReply | PrepareReply>(
    message: WorkerMessage,
    what: string,
  ): Promise<Reply & { ok: true }> => {
    const reply = (await send(message, what)) as Reply
    if (!reply.ok) throw errorOf(reply.failure)
    return reply as Reply & { ok: true }
  }
  return {
    async prepare(key, from) {
      const origin = 'origin' in from ? keptAt(from.origin) : undefined
      const source = origin !== undefined && 'covariance' in origin ? ({ kind: 'known', ...origin } as const) : undefined
      const message = {
        kind: 'prepare',
        key,
        source: source ?? (from as Extract<typeof from, { source: unknown }>).source,
      } as const
      const { prepared } = await replyTo<PrepareReply>(message, `the inputs ${key.input}`)
      kept.set(keyOf(key), prepared)
      return sizeOf(prepared)
    },
    forget: (key) => void kept.delete(keyOf(key)),
    async run(task) {
      const prepared = (task.needs ?? []).map(keptAt)
      // A runner has no use for the names of what it gets.
      const { sums, seconds, checksum } = await replyTo<WorkerReply>({ ...task, needs: [], nextNeeds: [], prepared }, task.tensor)
      return { sums, seconds, checksum }
    },
  }
}
