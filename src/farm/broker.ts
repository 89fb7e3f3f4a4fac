import { setTimeout as sleep } from 'node:timers/promises'
import { MqError } from '../errors/index.js'
import type { QueueAddress } from './address.js'
import type { Redis } from './bullmq.js'
import { type BullMq, loadBullMq } from './load-bullmq.js'

/** Time in which a first connection is retried, in milliseconds. */
const firstPatienceMs = 10_000
/** Time to wait for a broker that was connected before (restart, network failure), in milliseconds. */
export const patienceMs = 15 * 60_000

/** Connection options: commands wait while the connection is lost. */
const lasting = {
  maxRetriesPerRequest: null,
  connectTimeout: 10_000,
  // A broken network reports no error. Every command is answered sooner than this.
  socketTimeout: 30_000,
  keepAlive: 10_000,
} as const

/** When a lost connection is opened again: milliseconds until then, or null for never. */
type RetryStrategy = (times: number) => number | null

/** A connection to a broker. */
export interface Broker extends AsyncDisposable {
  readonly address: QueueAddress
  readonly client: BullMq
  /** Client for short commands; they wait while the broker is disconnected. */
  readonly redis: Redis
  /** Options for the connections of BullMQ's queues and workers. */
  readonly connection: QueueAddress['connection'] & typeof lasting & { readonly retryStrategy: RetryStrategy }
  /** Milliseconds since the connection was lost; 0 while connected. */
  awayMs(): number
  /**
   * Stops to reconnect, on this and all connections with its options: commands that wait for a broker that is gone, or goes later, then fail.
   * For the end of a process, which would wait for them.
   */
  stopReconnecting(): void
}

/** Connects to a broker. @throws MqError BROKER_UNREACHABLE, INTERRUPTED. */
export async function openBroker(address: QueueAddress, signal?: AbortSignal): Promise<Broker> {
  const client = await loadBullMq()
  await firstAnswer(client, address, signal)
  let reconnects = true
  const retryStrategy: RetryStrategy = (times) => (reconnects ? Math.min(2000, 50 * 2 ** Math.min(times, 6)) : null)
  const connection = { ...address.connection, ...lasting, retryStrategy }
  const redis = new client.Redis(connection)
  let awaySince: number | undefined
  redis.on('ready', () => {
    awaySince = undefined
  })
  redis.on('close', () => {
    awaySince ??= performance.now()
  })
  // Each failed attempt emits an error; awayMs has the state.
  redis.on('error', () => {})
  return {
    address,
    client,
    redis,
    connection,
    awayMs: () => (awaySince === undefined ? 0 : performance.now() - awaySince),
    stopReconnecting() {
      reconnects = false
    },
    async [Symbol.asyncDispose]() {
      reconnects = false
      redis.disconnect()
      await Promise.resolve()
    },
  }
}

async function firstAnswer(client: BullMq, { connection, broker }: QueueAddress, signal: AbortSignal | undefined): Promise<void> {
  const until = performance.now() + firstPatienceMs
  for (;;) {
    const redis = new client.Redis({
      ...connection,
      lazyConnect: true,
      connectTimeout: 5000,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    })
    let last: unknown
    redis.on('error', (error) => {
      last = error
    })
    try {
      await redis.connect()
      await redis.ping()
      return
    } catch (error) {
      const problem = (last instanceof Error ? last : (error as Error)).message
      const isRefused = /NOAUTH|WRONGPASS|NOPERM|ERR/.test(problem)
      if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what: 'the connection to the broker' })
      if (isRefused || performance.now() > until) {
        throw MqError.of('BROKER_UNREACHABLE', { broker, problem: problem.replace(/\.$/, '') }, { cause: error })
      }
    } finally {
      redis.disconnect()
    }
    await sleep(500)
  }
}

/** Time that a broker has to come back, when a process takes leave of it, in milliseconds, and time that taking leave takes at most. */
const [farewellMs, leaveWithinMs] = [3000, 15_000]

/**
 * Waits for the last words to a broker. One that is away, or goes away, is waited for no longer than three seconds.
 * @param lastWords commands that wait while the broker is disconnected. Their failure is none.
 */
export async function takeLeave(broker: Broker, lastWords: Promise<unknown>): Promise<void> {
  const late = setTimeout(() => broker.stopReconnecting(), farewellMs)
  await Promise.race([lastWords.catch(() => {}), sleep(leaveWithinMs, undefined, { ref: false })])
  clearTimeout(late)
}

/** Returns the error for a broker that stays disconnected. */
export function brokerGone({ address: { broker } }: Broker): MqError {
  return MqError.of('BROKER_UNREACHABLE', { broker, problem: `it has been away for ${patienceMs / 60_000} minutes` })
}
