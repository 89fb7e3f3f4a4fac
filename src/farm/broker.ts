import { setTimeout as sleep } from 'node:timers/promises'
import { MqError } from '../errors/index.js'
import type { QueueAddress } from './address.js'
import type { Redis } from './bullmq.js'
import { type BullMq, loadBullMq } from './load-bullmq.js'

/** So long a broker that cannot be reached at first is tried again. */
const firstPatienceMs = 10_000
/** So long is waited for one that was there: a restart, a network that is cut. */
export const patienceMs = 15 * 60_000

/** Of a connection: it is made again and again, and commands wait for it. */
const lasting = {
  maxRetriesPerRequest: null,
  connectTimeout: 10_000,
  // A cut network says nothing: every command of ours is answered sooner than that.
  socketTimeout: 30_000,
  keepAlive: 10_000,
  retryStrategy: (times: number): number => Math.min(2000, 50 * 2 ** Math.min(times, 6)),
} as const

/** A broker that has answered. */
export interface Broker extends AsyncDisposable {
  readonly address: QueueAddress
  readonly client: BullMq
  /** For short commands; they wait while the broker is away. */
  readonly redis: Redis
  /** Options of the queue's own connections. */
  readonly connection: QueueAddress['connection'] & typeof lasting
  /** Milliseconds that the broker has been away for; 0 while it is there. */
  awayMs(): number
}

/** Connects to a broker. @throws MqError BROKER_UNREACHABLE, INTERRUPTED. */
export async function openBroker(address: QueueAddress, signal?: AbortSignal): Promise<Broker> {
  const client = await loadBullMq()
  await firstAnswer(client, address, signal)
  const connection = { ...address.connection, ...lasting }
  const redis = new client.Redis(connection)
  let awaySince: number | undefined
  redis.on('ready', () => {
    awaySince = undefined
  })
  redis.on('close', () => {
    awaySince ??= performance.now()
  })
  // It says the same of each attempt; awayMs is what counts.
  redis.on('error', () => {})
  return {
    address,
    client,
    redis,
    connection,
    awayMs: () => (awaySince === undefined ? 0 : performance.now() - awaySince),
    async [Symbol.asyncDispose]() {
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

/** The error for a broker that stays away. */
export function brokerGone({ address: { broker } }: Broker): MqError {
  return MqError.of('BROKER_UNREACHABLE', { broker, problem: `it has been away for ${patienceMs / 60_000} minutes` })
}
