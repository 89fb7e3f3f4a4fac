import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningRedis, redisServer, runRedis } from '../../../bench/redis.js'
import { type BuildOptions, type BuildProgress, build, unitVersion, workFolder } from '../../../src/build/index.js'
import { parseQueue, queueName } from '../../../src/farm/address.js'
import { openBroker } from '../../../src/farm/broker.js'
import { type FarmOptions, openFarm, type WorkEvent, type WorkOptions, type WorkReport, work } from '../../../src/farm/index.js'
import { loadBullMq } from '../../../src/farm/load-bullmq.js'
import { orderSchema } from '../../../src/farm/message.js'
import { sayPresent, whoIsThere } from '../../../src/farm/presence.js'
import { readUnit } from '../../../src/farm/unit-file.js'
import { finish } from '../../../src/progress/index.js'
import { writeOneLayerSample } from '../../support/one-layer-sample.js'
import { writeTinyCheckpoint } from '../../support/tiny-checkpoint.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))

test('a broker that is not there is said to be so', { timeout: 30_000 }, async () => {
  await expect(openFarm({ queue: 'redis://127.0.0.1:1' })).rejects.toMatchObject({ code: 'BROKER_UNREACHABLE' })
})

describe.skipIf(!redisServer.available)(`a farm (${redisServer.name})`, { timeout: 120_000 }, () => {
  let folder: string
  let redis: RunningRedis
  let alone: string[]
  let count = 0

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-farm-'))
    redis = await runRedis()
    await writeOneLayerSample(join(folder, 'sample'), { vocabulary: 512, intermediate: 256 })
    const outputs = 'small: { preset: Q4_K_M }\n      large: { type: Q8_0 }\n      third: { type: Q6_K }'
    await writeFile(join(folder, 'build.yaml'), `models:\n  one:\n    source: sample\n    outputs:\n      ${outputs}\n`)
    alone = (await run({})).digests
  }, 60_000)
  afterAll(async () => {
    await redis[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  /** Runs the build in a work folder of its own. */
  async function run(
    options: { farm?: FarmOptions; place?: string; signal?: AbortSignal },
    onProgress: (progress: BuildProgress) => void = () => {},
  ): Promise<{ digests: string[]; place: string }> {
    const place = options.place ?? join(folder, `work${count++}`)
    await using farm = options.farm === undefined ? undefined : await openFarm(options.farm)
    const executor = farm === undefined ? { threads: 2 } : { executor: farm.executor }
    const signal = options.signal === undefined ? {} : { signal: options.signal }
    const { report } = await finish(build({ file: join(folder, 'build.yaml'), work: place, ...executor, ...signal }), onProgress)
    const digests = report.models.flatMap(({ outputs }) => outputs.flatMap(({ files }) => files.map(({ sha256 }) => sha256)))
    return { digests, place }
  }

  /** A worker in this process. */
  function startWorker(options: Partial<WorkOptions> = {}): {
    events: WorkEvent[]
    ended: Promise<WorkReport>
    stop: () => Promise<WorkReport>
  } {
    const stopping = new AbortController()
    const events: WorkEvent[] = []
    const ended = (async () => {
      const stream = work({ queue: redis.url, threads: 1, lockMs: 3000, signal: stopping.signal, ...options })
      for (;;) {
        const next = await stream.next()
        if (next.done === true) return next.value
        events.push(next.value)
      }
    })()
    ended.catch(() => {})
    return {
      events,
      ended,
      stop: () => {
        stopping.abort()
        return ended
      },
    }
  }

  test('two workers make the bytes of one machine, and each unit is computed twice where that is asked', async () => {
    const workers = [startWorker(), startWorker()]
    const { digests, place } = await run({ farm: { queue: redis.url, checkEvery: 1 } })
    const reports = await Promise.all(workers.map(({ stop }) => stop()))
    expect(digests).toStrictEqual(alone)
    // Three plans and three outputs, twice.
    expect(reports.reduce((sum, { done }) => sum + done, 0)).toBe(12)
    for (const { done } of reports) expect(done).toBeGreaterThan(0)
    const again = startWorker()
    expect((await run({ farm: { queue: redis.url }, place })).digests).toStrictEqual(alone)
    expect((await again.stop()).done).toBe(0)
  })

  test('outputs are quantized in parts, and put together to the same bytes', async () => {
    const workers = [startWorker(), startWorker()]
    const { digests } = await run({ farm: { queue: redis.url, partWeights: 2 ** 16 } })
    const reports = await Promise.all(workers.map(({ stop }) => stop()))
    expect(digests).toStrictEqual(alone)
    expect(reports.reduce((sum, { done }) => sum + done, 0)).toBeGreaterThan(12)
    for (const { events } of workers)
      expect(events).toContainEqual(expect.objectContaining({ unit: expect.stringMatching(/^quantize-part /) }))
  })

  test('tensors of MXFP4 whose scales are all zero are noted, in the words of one machine', async () => {
    const weight = 'model.layers.0.mlp.down_proj.weight'
    await writeTinyCheckpoint(join(folder, 'zeros'), ({ config, tensors }) => {
      config['quantization_config'] = { quant_method: 'mxfp4' }
      tensors.delete(weight)
      const store = (name: string, shape: readonly number[], byte: number): void => {
        const data = new Uint8Array(shape.reduce((product, size) => product * size, 1)).fill(byte)
        tensors.set(name, { name, dtype: 'U8', shape, data })
      }
      store(`${weight}_blocks`, [32, 2, 16], 0x22)
      store(`${weight}_scales`, [32, 2], 0)
    })
    const file = join(folder, 'zeros.yaml')
    await writeFile(file, 'models: { zeros: { source: zeros, outputs: { q8: { type: Q8_0 } } } }')
    const notesOf = async (work: string, executor?: BuildOptions['executor']): Promise<readonly string[]> => {
      const { report } = await finish(build({ file, work: join(folder, work), threads: 1, ...(executor && { executor }) }))
      return report.models[0]?.outputs[0]?.notes ?? []
    }
    const expected = await notesOf('zeros-alone')
    expect(expected).toContainEqual(expect.stringContaining('weights of a tensor are zero (blk.0.ffn_down.weight)'))
    const { stop, events } = startWorker()
    await using farm = await openFarm({ queue: redis.url, partWeights: 2 ** 14 })
    expect(await notesOf('zeros-farm', farm.executor)).toEqual(expected)
    await stop()
    expect(events.filter(({ event, unit = '' }) => event === 'done' && unit.startsWith('quantize-part')).length).toBeGreaterThan(
      1,
    )
  })

  test('a worker that is killed at work is replaced by another', async () => {
    const killed = await worker()
    const lines = createInterface(killed.stdout as NodeJS.ReadableStream)
    const events: string[] = []
    const built = run({ farm: { queue: redis.url } })
    for await (const line of lines) {
      events.push(line)
      // It has done a unit, and is at work on the next.
      if (line === 'started' && events.includes('done')) break
    }
    killed.kill('SIGKILL')
    await once(killed, 'exit')
    const done = events.filter((event) => event === 'done').length
    const other = startWorker()
    expect((await built).digests).toStrictEqual(alone)
    expect(done).toBeGreaterThan(0)
    expect(done + (await other.stop()).done).toBeGreaterThanOrEqual(6)
  })

  test('a broker that forgets everything is told again', async () => {
    let restarted: Promise<void> | undefined
    const { events, stop } = startWorker()
    const { digests } = await run({ farm: { queue: redis.url } }, ({ state }) => {
      if (state === 'started') restarted ??= redis.restart()
    })
    await restarted
    await stop()
    expect(restarted).toBeDefined()
    expect(digests).toStrictEqual(alone)
    expect(events.filter(({ event }) => event === 'done').length).toBeGreaterThanOrEqual(6)
  })

  test('a build that is stopped takes its units back, and the next goes on', async () => {
    const stopping = new AbortController()
    const place = join(folder, `work${count++}`)
    const first = startWorker()
    const stopped = run({ farm: { queue: redis.url, signal: stopping.signal }, place, signal: stopping.signal }, ({ state }) => {
      if (state === 'done') stopping.abort()
    })
    await expect(stopped).rejects.toMatchObject({ code: 'INTERRUPTED' })
    const done: string[] = []
    const { digests } = await run({ farm: { queue: redis.url }, place }, ({ state, step }) => {
      if (state === 'known') done.push(step ?? '')
    })
    await first.stop()
    expect(digests).toStrictEqual(alone)
    expect(done.length).toBeGreaterThan(0)
  })

  test('a worker that is stopped gives its unit back at once', async () => {
    const first = startWorker()
    const built = run({ farm: { queue: redis.url } })
    while (!first.events.some(({ event }) => event === 'started')) await sleep(5)
    expect((await first.stop()).givenBack).toBeLessThanOrEqual(1)
    const second = startWorker()
    expect((await built).digests).toStrictEqual(alone)
    await second.stop()
  })

  test('a worker that is stopped just before its broker goes away ends', async () => {
    const gone = await runRedis()
    const stopped = spawn(process.execPath, ['bin/run.js', 'worker', '--queue', gone.url, '--threads', '1', '--json'], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const stopping = new AbortController()
    const built = run({ farm: { queue: gone.url, signal: stopping.signal }, signal: stopping.signal }).catch(
      (error: unknown) => error,
    )
    for await (const line of createInterface(stopped.stdout)) if (line.includes('"started"')) break
    const exit = once(stopped, 'exit')
    stopped.kill('SIGTERM')
    await gone[Symbol.asyncDispose]()
    try {
      // Its patience with a broker that it needs is fifteen minutes.
      const late = sleep(60_000, 'late', { ref: false })
      expect(await Promise.race([exit, late])).toEqual([0, null])
    } finally {
      stopped.kill('SIGKILL')
      stopping.abort()
    }
    expect(await built).toMatchObject({ code: 'INTERRUPTED' })
  })

  test('wrong bytes of one worker are found where units are computed twice', async () => {
    const client = await loadBullMq()
    // A worker with a defect: it does what a worker does, and one byte is another.
    const name = queueName(parseQueue(redis.url), unitVersion())
    const wrong = new client.Worker(
      name,
      async (job: { data: unknown }) => {
        const { key, kind, folder: place } = v.parse(orderSchema, job.data)
        const { unit } = await readUnit(place, key)
        const at = workFolder(place)
        const made = await at.beginAttempt(kind, key, 'wrong')
        await writeFile(join(made, 'plan.json'), '{}')
        const { files } = await at.commitAttempt(unit, key, 'wrong', { files: ['plan.json'], result: null, seconds: 1 })
        await at.publishAttempt(kind, key, 'wrong')
        await wrong.pause(true)
        return { worker: 'wrong', seconds: 1, files }
      },
      { connection: { ...parseQueue(redis.url).connection, maxRetriesPerRequest: null }, prefix: 'mq' },
    )
    wrong.on('completed', () => {
      right ??= startWorker()
    })
    let right: ReturnType<typeof startWorker> | undefined
    try {
      await expect(run({ farm: { queue: redis.url, checkEvery: 1 } })).rejects.toMatchObject({
        code: 'RESULTS_DIFFER',
        details: { first: 'wrong' },
      })
    } finally {
      await right?.stop()
      await wrong.close(true)
    }
  })

  test('a result whose bytes changed on the way is made again', async () => {
    const client = await loadBullMq()
    // It answers with the digests of other bytes than those that are in the folder.
    const flawed = new client.Worker(
      queueName(parseQueue(redis.url), unitVersion()),
      async (job: { data: unknown }) => {
        const { key, kind, folder: place } = v.parse(orderSchema, job.data)
        const { unit } = await readUnit(place, key)
        const at = workFolder(place)
        const made = await at.beginAttempt(kind, key, 'flawed')
        await writeFile(join(made, 'plan.json'), '{}')
        const { files } = await at.commitAttempt(unit, key, 'flawed', { files: ['plan.json'], result: null, seconds: 1 })
        await writeFile(join(made, 'plan.json'), '[]')
        await at.publishAttempt(kind, key, 'flawed')
        await flawed.pause(true)
        return { worker: 'flawed', seconds: 1, files }
      },
      { connection: { ...parseQueue(redis.url).connection, maxRetriesPerRequest: null }, prefix: 'mq' },
    )
    let right: ReturnType<typeof startWorker> | undefined
    flawed.on('completed', () => {
      right ??= startWorker()
    })
    const notices: string[] = []
    const { digests } = await run({ farm: { queue: redis.url } }, ({ notice }) => {
      if (notice !== undefined) notices.push(notice)
    })
    await right?.stop()
    await flawed.close(true)
    expect(digests).toStrictEqual(alone)
    expect(notices).toContainEqual(expect.stringMatching(/by worker flawed has other bytes.*plan\.json.*made again/))
  })

  test('a worker of another version says so, and of another folder, too', async () => {
    await using broker = await openBroker(parseQueue(`${redis.url}?farm=other`))
    const present = { host: 'builder', pid: 1, startedAt: '', work: 'x', folder, waiting: 0, done: 0 }
    await sayPresent(broker, 'build', 'x', { ...present, version: '0.0.9+abc' })
    const other = startWorker({ queue: `${redis.url}?farm=other` })
    await expect(other.ended).rejects.toMatchObject({
      code: 'FARM_VERSION',
      details: { host: 'builder', expected: '0.0.9+abc', found: unitVersion() },
    })
    await mkdir(join(folder, 'elsewhere'), { recursive: true })
    const lost = startWorker({ work: join(folder, 'elsewhere') })
    const built = run({ farm: { queue: redis.url } })
    await expect(lost.ended).rejects.toMatchObject({ code: 'FARM_FOLDER' })
    const right = startWorker()
    expect((await built).digests).toStrictEqual(alone)
    await right.stop()
  })

  test('workers drain: they end when no build is left', async () => {
    const { ended } = startWorker({ drain: true })
    expect((await run({ farm: { queue: redis.url } })).digests).toStrictEqual(alone)
    expect((await ended).done).toBe(6)
    await using broker = await openBroker(parseQueue(redis.url))
    expect(await whoIsThere(broker, 'build')).toStrictEqual([])
  })

  /** A worker in a process of its own, which writes its events. Its units run in a thread, which inherits options of Node. */
  async function worker(): Promise<ChildProcess> {
    const script = join(folder, 'worker.mjs')
    const text = `
      import { work } from ${JSON.stringify(new URL('../../../dist/src/farm/index.js', import.meta.url).href)}
      for await (const event of work({ queue: ${JSON.stringify(redis.url)}, threads: 1, lockMs: 3000 })) console.log(event.event)`
    await writeFile(script, text)
    return spawn(process.execPath, [script], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  }
})
