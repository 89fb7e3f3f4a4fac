import * as v from 'valibot'
import { unitVersion } from '../build/index.js'
import { keyPrefix } from './address.js'
import type { Broker } from './broker.js'

/** Lifetime of a presence record that is not renewed, in milliseconds. */
const livesMs = 20_000
export const saidEveryMs = 5000

const shared = { version: v.string(), host: v.string(), pid: v.number(), startedAt: v.string() }
/** Units of one kind: done and failed since the build began, and pending ones, including those that run. */
const kindCounts = v.object({ done: v.number(), failed: v.number(), waiting: v.number() })
const buildSchema = v.object({
  ...shared,
  work: v.string(),
  folder: v.string(),
  waiting: v.number(),
  done: v.number(),
  kinds: v.optional(v.record(v.string(), kindCounts)),
})
const workerSchema = v.object({
  ...shared,
  id: v.string(),
  threads: v.number(),
  unit: v.optional(v.string()),
  since: v.optional(v.string()),
  done: v.number(),
  failed: v.number(),
  busySeconds: v.number(),
})

export type KindCounts = v.InferOutput<typeof kindCounts>
/** Presence record of a build. */
export type PresentBuild = v.InferOutput<typeof buildSchema>
/** Presence record of a worker. */
export type PresentWorker = v.InferOutput<typeof workerSchema>

const kinds = { build: buildSchema, worker: workerSchema } as const
type Kinds = { build: PresentBuild; worker: PresentWorker }

function keyOf({ address: { farm } }: Broker, kind: keyof Kinds, id: string): string {
  return `${keyPrefix}:${farm}:${kind}:${id}`
}

/** Whether a build or worker has this version of mq and its kernels: others get no units. */
export function isOurs({ version }: { readonly version: string }): boolean {
  return version === unitVersion()
}

/** Renews the presence record of a build or worker, for twenty seconds. */
export async function sayPresent<Kind extends keyof Kinds>(
  broker: Broker,
  kind: Kind,
  id: string,
  what: Kinds[Kind],
): Promise<void> {
  await broker.redis.set(keyOf(broker, kind, id), JSON.stringify(what), 'PX', livesMs)
}

export async function sayGone(broker: Broker, kind: keyof Kinds, id: string): Promise<void> {
  await broker.redis.del(keyOf(broker, kind, id))
}

/** Returns the builds or workers with a presence record. */
export async function whoIsThere<Kind extends keyof Kinds>(broker: Broker, kind: Kind): Promise<Kinds[Kind][]> {
  const keys: string[] = []
  let cursor = '0'
  do {
    const [next, some] = await broker.redis.scan(cursor, 'MATCH', keyOf(broker, kind, '*'), 'COUNT', 500)
    keys.push(...some)
    cursor = next
  } while (cursor !== '0')
  if (keys.length === 0) return []
  const texts = await broker.redis.mget([...new Set(keys)].toSorted())
  return texts.flatMap((text) => {
    if (text === null) return []
    const parsed = v.safeParse(kinds[kind], JSON.parse(text))
    return parsed.success ? [parsed.output as Kinds[Kind]] : []
  })
}
