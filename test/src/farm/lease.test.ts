import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningRedis, redisServer, runRedis } from '../../../bench/redis.js'
import { build } from '../../../src/build/index.js'
import { openFarm, type WorkEvent, work } from '../../../src/farm/index.js'
import { finish } from '../../../src/progress/index.js'
import { writeOneLayerSample } from '../../support/one-layer-sample.js'

/** Short enough that a unit takes several of it. */
const lockMs = 400

describe.skipIf(!redisServer.available)(`leases (${redisServer.name})`, { timeout: 120_000 }, () => {
  let folder: string
  let redis: RunningRedis
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-lease-'))
    redis = await runRedis()
    await writeOneLayerSample(join(folder, 'sample'))
    const file = 'models:\n  one:\n    source: sample\n    outputs:\n      small: { bits: 3, effort: best, widen: none }\n'
    await writeFile(join(folder, 'build.yaml'), file)
  })
  afterAll(async () => {
    await redis[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  test('are renewed while a thread computes: a second worker gets no unit that the first has', async () => {
    const stopping = new AbortController()
    const run = async (): Promise<WorkEvent[]> => {
      const events: WorkEvent[] = []
      for await (const event of work({ queue: redis.url, threads: 1, lockMs, signal: stopping.signal })) events.push(event)
      return events
    }
    const running = [run(), run()]
    {
      await using farm = await openFarm({ queue: redis.url })
      await finish(build({ file: join(folder, 'build.yaml'), work: join(folder, 'work'), executor: farm.executor }))
    }
    stopping.abort()
    const events = (await Promise.all(running)).flat()
    const units = (event: WorkEvent['event']): string[] =>
      events.filter((one) => one.event === event).map(({ unit }) => unit ?? '')
    expect(units('started').toSorted()).toEqual(units('done').toSorted())
    expect(new Set(units('started')).size).toBe(2)
    const longest = Math.max(...events.map(({ seconds = 0 }) => seconds))
    // Several leases long: without renewal it would have been taken for lost.
    expect(1000 * longest).toBeGreaterThan(3 * lockMs)
  })
})
