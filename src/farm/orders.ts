import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { unitVersion } from '../build/index.js'
import { type Channel, newChannel } from '../collections/index.js'
import { MqError } from '../errors/index.js'
import type { Progress } from '../progress/index.js'
import { keyPrefix, queueName } from './address.js'
import { type Broker, brokerGone, patienceMs, takeLeave } from './broker.js'
import { errorOfReason } from './failed-order.js'
import { type Delivery, deliverySchema, type Order, orderId, progressSchema } from './message.js'
import { isOurs, type KindCounts, sayGone, sayPresent, whoIsThere } from './presence.js'

/** Pending orders of a build. */
export interface Orders {
  /** The name of the work folder. */
  readonly work: string
  /** Adds an order to the queue, again if the broker loses it, and waits for its delivery. @throws MqError of the unit; BROKER_UNREACHABLE, UNIT_LOST, INTERRUPTED. */
  deliver(order: Order): AsyncGenerator<Progress, Delivery, void>
  /** Ends all deliveries, with INTERRUPTED. */
  cancel(): void
  /** Removes waiting orders from the queue, and the presence of the build. */
  close(): Promise<void>
}

/** Progress, result or error of an order. */
type Event = { readonly progress: Progress } | { readonly delivery: Delivery } | { readonly error: MqError }

interface Pending {
  readonly order: Order
  readonly events: Channel<Event>
}

/** Attempts at an order, over all workers. */
const attempts = 5
/** Interval at which pending orders are polled, in milliseconds: events may be lost. */
const askEveryMs = 3000
/** Orders polled at a time. */
const askedAtOnce = 500
/** Time without workers after which the build reports it, and after which it fails if workers ended with an error, in milliseconds. */
const [lonelyMs, givenUpMs] = [10_000, 60_000]

/** Opens the queue for the orders of one build. */
export async function openOrders(
  broker: Broker,
  { work, folder, signal }: { readonly work: string; readonly folder: string; readonly signal: AbortSignal | undefined },
): Promise<Orders> {
  const name = queueName(broker.address, unitVersion())
  const options = { connection: broker.connection, prefix: keyPrefix }
  const queue = new broker.client.Queue(name, options)
  const events = new broker.client.QueueEvents(name, options)
  queue.on('error', () => {})
  events.on('error', () => {})
  const pending = new Map<string, Pending>()
  const startedAt = new Date().toISOString()
  const removals = new Set<Promise<unknown>>()
  let done = 0
  const ended = { done: new Map<string, number>(), failed: new Map<string, number>() }

  const settle = (id: string, event: Event): void => pending.get(id)?.events.put(event)
  const completed = (id: string, value: unknown): void => {
    const parsed = v.safeParse(deliverySchema, typeof value === 'string' ? JSON.parse(value) : value)
    if (parsed.success) settle(id, { delivery: parsed.output })
  }
  const failed = (id: string, reason: string, times: number): void => {
    const order = pending.get(id)?.order
    if (order !== undefined) settle(id, { error: errorOfReason(reason, `${order.kind} ${order.key.slice(0, 8)}`, times) })
  }
  events.on('completed', ({ jobId, returnvalue }) => completed(jobId, returnvalue))
  events.on('failed', ({ jobId, failedReason }) => failed(jobId, failedReason, attempts))
  events.on('progress', ({ jobId, data }) => {
    const parsed = v.safeParse(progressSchema, data)
    if (parsed.success) settle(jobId, { progress: parsed.output })
  })

  const submit = async (id: string, order: Order): Promise<void> => {
    const known = await queue.getJob(id)
    // It ended in an earlier run, and its result no longer exists.
    if (known?.finishedOn !== undefined) await known.remove()
    const kept = { removeOnComplete: { age: 24 * 3600 }, removeOnFail: { age: 24 * 3600 } }
    await queue.add('unit', order, { jobId: id, attempts, backoff: { type: 'fixed', delay: 2000 }, ...kept })
  }
  const look = async ([id, { order }]: [string, Pending], isLonely: boolean): Promise<void> => {
    const job = await queue.getJob(id)
    if (!pending.has(id)) return
    if (job === undefined) await submit(id, order)
    else if (job.finishedOn !== undefined) {
      if (job.failedReason === undefined) completed(id, job.returnvalue)
      else failed(id, job.failedReason, job.attemptsMade)
    } else if (isLonely && job.failedReason !== undefined) failed(id, job.failedReason, job.attemptsMade)
  }

  const sayWhoWeAre = async (): Promise<void> => {
    const own = { version: unitVersion(), host: hostname(), pid: process.pid, startedAt }
    const kinds = kindsOf([...pending.values()], ended)
    await sayPresent(broker, 'build', work, { ...own, work, folder, waiting: pending.size, done, kinds })
  }
  await sayWhoWeAre()

  const stop = new AbortController()
  const watching = watch().catch((error: unknown) => {
    for (const id of pending.keys()) settle(id, { error: MqError.from(error) })
  })
  let isCancelled = signal?.aborted === true
  const abort = (): void => {
    isCancelled = true
    for (const id of pending.keys()) settle(id, { error: MqError.of('INTERRUPTED', { what: 'the build' }) })
  }
  signal?.addEventListener('abort', abort)

  async function watch(): Promise<void> {
    let seenAt = performance.now()
    let at = 0
    const said = new Set<string>()
    const tell = (notice: string): void => {
      const [first] = pending.values()
      if (said.has(notice) || first === undefined) return
      said.add(notice)
      first.events.put({ progress: { stage: 'farm', done: 0, total: 1, unit: 'steps', notice } })
    }
    while (!stop.signal.aborted) {
      await sleep(askEveryMs, undefined, { signal: stop.signal }).catch(() => {})
      if (broker.awayMs() > patienceMs) throw brokerGone(broker)
      if (broker.awayMs() > askEveryMs) tell(`The broker ${broker.address.broker} is away: waiting for it.`)
      // Commands would wait while the broker is disconnected.
      if (broker.awayMs() > 0) continue
      await sayWhoWeAre()
      const workers = await whoIsThere(broker, 'worker')
      if (workers.some(isOurs) || pending.size === 0) seenAt = performance.now()
      const lonely = performance.now() - seenAt
      if (lonely > lonelyMs) tell(`No worker is there: \`mq worker --queue\` starts one.`)
      for (const other of workers.filter((one) => !isOurs(one))) {
        tell(`The worker on ${other.host} runs mq ${other.version}, and this is ${unitVersion()}: it gets no units.`)
      }
      const all = [...pending]
      const some = all.slice(at, at + askedAtOnce)
      at = at + askedAtOnce >= all.length ? 0 : at + askedAtOnce
      for (const one of some) await look(one, lonely > givenUpMs)
    }
  }

  return {
    work,
    cancel: abort,
    async *deliver(order) {
      const id = orderId(order)
      const channel = newChannel<Event>()
      pending.set(id, { order, events: channel })
      try {
        if (isCancelled) throw MqError.of('INTERRUPTED', { what: 'the build' })
        void submit(id, order).catch((error: unknown) => settle(id, { error: MqError.from(error) }))
        for (;;) {
          const event = await channel.take()
          if ('error' in event) {
            if (event.error.code !== 'INTERRUPTED') addOne(ended.failed, order.kind)
            throw event.error
          }
          if ('delivery' in event) {
            done += 1
            addOne(ended.done, order.kind)
            return event.delivery
          }
          yield event.progress
        }
      } finally {
        pending.delete(id)
        const removing = queue.remove(id).catch(() => {})
        removals.add(removing)
        void removing.then(() => removals.delete(removing))
      }
    },
    async close() {
      signal?.removeEventListener('abort', abort)
      stop.abort()
      const goodbye = async (): Promise<void> => {
        await watching
        await Promise.allSettled([...removals, sayGone(broker, 'build', work)])
        await Promise.allSettled([queue.close(), events.close()])
        await Promise.allSettled([queue.disconnect(), events.disconnect()])
      }
      await takeLeave(broker, goodbye())
    },
  }
}

function addOne(counts: Map<string, number>, kind: string): void {
  counts.set(kind, (counts.get(kind) ?? 0) + 1)
}

/** Counts units by kind. */
function kindsOf(
  pending: readonly Pending[],
  { done, failed }: { readonly done: ReadonlyMap<string, number>; readonly failed: ReadonlyMap<string, number> },
): Record<string, KindCounts> {
  const waiting = new Map<string, number>()
  for (const { order } of pending) addOne(waiting, order.kind)
  const kinds = [...new Set([...done.keys(), ...failed.keys(), ...waiting.keys()])].toSorted()
  return Object.fromEntries(
    kinds.map((kind) => [kind, { done: done.get(kind) ?? 0, failed: failed.get(kind) ?? 0, waiting: waiting.get(kind) ?? 0 }]),
  )
}
