import { contentKey, type Executor } from './executor.js'
import { errorOf } from './failure.js'
import { sizeOf } from './prepared-bytes.js'
import type { Prepared, PreparedKey, PrepareReply, WorkerMessage, WorkerReply, WorkerSetup } from './task.js'

/**
 * The part that executors of this process share: stores prepared data, and sends tasks with their prepared data to a TaskRunner.
 * @param send sends a message to a runner. `what` names its subject, for errors of the transport.
 */
export function messageExecutor(
  { calibration = '' }: WorkerSetup,
  send: (message: WorkerMessage, what: string) => Promise<WorkerReply | PrepareReply>,
): Pick<Executor, 'prepare' | 'forget' | 'run'> {
  const stored = new Map<string, Prepared>()
  const keyOf = (key: PreparedKey): string => contentKey(calibration, key)
  const storedAt = (key: PreparedKey): Prepared => {
    const found = stored.get(keyOf(key))
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
      const origin = 'origin' in from ? storedAt(from.origin) : undefined
      const source = origin !== undefined && 'covariance' in origin ? ({ kind: 'known', ...origin } as const) : undefined
      const message = {
        kind: 'prepare',
        key,
        source: source ?? (from as Extract<typeof from, { source: unknown }>).source,
      } as const
      const { prepared } = await replyTo<PrepareReply>(message, `the inputs ${key.input}`)
      stored.set(keyOf(key), prepared)
      return sizeOf(prepared)
    },
    forget: (key) => void stored.delete(keyOf(key)),
    async run(task) {
      const prepared = (task.needs ?? []).map(storedAt)
      // A runner needs the data, not its keys.
      const { sums, seconds, checksum } = await replyTo<WorkerReply>({ ...task, needs: [], nextNeeds: [], prepared }, task.tensor)
      return { sums, seconds, checksum }
    },
  }
}
