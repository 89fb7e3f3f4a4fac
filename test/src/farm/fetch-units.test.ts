import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { type RunningRedis, redisServer, runRedis } from '../../../bench/redis.js'
import { type SafetensorsInput, writeSafetensors } from '../../../formats/safetensors/index.js'
import {
  type BuildOptions,
  type BuildOutcome,
  build,
  dryRunBuild,
  inProcess,
  type UnitExecutor,
} from '../../../src/build/index.js'
import { MqError } from '../../../src/errors/index.js'
import { openFarm, work } from '../../../src/farm/index.js'
import { finish } from '../../../src/progress/index.js'
import { writeTinyCheckpoint } from '../../support/tiny-checkpoint.js'
import { temporaryFolder } from '../../support/tiny-model.js'
import { sendAndCut, sendAsAsked, type WaywardOptions, waywardCommit, waywardHub } from '../../support/wayward-hub.js'

/** So that each shard of the small model is fetched by a unit of its own. */
const fetchBytes = 20_000
const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']

/** Where the cache of the tools of Hugging Face has it: names of models are made from the path. */
const whole = `models--ns--model/snapshots/${waywardCommit}`

let folder: Awaited<ReturnType<typeof temporaryFolder>>
const at = (name: string): string => join(folder.path, name)
let files: Record<string, Buffer>
let expected: string[]
let count = 0

const digestsOf = ({ report }: BuildOutcome): string[] =>
  report.models.flatMap(({ outputs }) => outputs.flatMap((output) => output.files.map(({ sha256 }) => sha256)))

/** A build of the model, of the hub or of a folder. */
async function run(source: string, options: Partial<BuildOptions> = {}, notices: string[] = []): Promise<BuildOutcome> {
  const file = at(`build${count++}.yaml`)
  await writeFile(file, `models: { tiny: { source: '${source}', outputs: { small: { type: Q8_0 } } } }`)
  return finish(build({ file, work: at(`work${count}`), threads: 1, ...options }), ({ notice }) => {
    if (notice !== undefined) notices.push(notice)
  })
}

/** A hub with the model, its own cache of files, and what files were asked of it. */
async function startHub(options: Partial<WaywardOptions> = {}): Promise<{ asked: () => string[] } & AsyncDisposable> {
  const hub = await waywardHub({ files, ...options })
  vi.stubEnv('HF_ENDPOINT', hub.url)
  vi.stubEnv('HF_HUB_OFFLINE', '')
  vi.stubEnv('HF_HOME', at(`home${count++}`))
  return {
    asked: () => hub.requests.flatMap((line) => /\/resolve\/[^/]+\/(\S+)/.exec(line)?.[1] ?? []).toSorted(),
    [Symbol.asyncDispose]: () => hub[Symbol.asyncDispose](),
  }
}

beforeAll(async () => {
  folder = await temporaryFolder()
  const tensors: SafetensorsInput[] = []
  await writeTinyCheckpoint(at(whole), (checkpoint) => tensors.push(...checkpoint.tensors.values()))
  const names = (await readdir(at(whole))).filter((name) => !name.endsWith('.safetensors'))
  files = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(join(at(whole), name))])))
  const map: Record<string, string> = {}
  for (const [index, shard] of shards.entries()) {
    const own = tensors.filter((_, at) => at % 2 === index)
    for (const { name } of own) map[name] = shard
    await writeSafetensors(join(at(whole), shard), own)
    files[shard] = await readFile(join(at(whole), shard))
  }
  const index = JSON.stringify({ metadata: {}, weight_map: map })
  files['model.safetensors.index.json'] = Buffer.from(index)
  await writeFile(join(at(whole), 'model.safetensors.index.json'), index)
  await rm(join(at(whole), 'model.safetensors'))
  expected = digestsOf(await run(at(whole)))
})
afterEach(() => {
  vi.unstubAllEnvs()
})
afterAll(() => folder[Symbol.asyncDispose]())

test('a build takes a model of a hub into the cache of this machine, and needs the hub no more', async () => {
  {
    await using hub = await startHub()
    const file = at('dry.yaml')
    await writeFile(file, "models: { tiny: { source: 'hf:ns/model', outputs: { small: { type: Q8_0 } } } }")
    const planned = await finish(dryRunBuild({ file, work: at('dry') }))
    expect(planned.steps.map(({ id, known }) => [id, known])).toEqual([
      ['tiny/plan/small', false],
      ['tiny/quantize/small', false],
    ])
    const looked = hub.asked().length
    const outcome = await run('hf:ns/model')
    expect(digestsOf(outcome)).toEqual(expected)
    expect(planned.steps[1]?.sizeBytes).toBe(outcome.report.models[0]?.outputs[0]?.sizeBytes)
    expect(hub.asked()).toHaveLength(looked + Object.keys(files).length)
  }
  const notices: string[] = []
  vi.stubEnv('HF_HUB_OFFLINE', '1')
  expect(digestsOf(await run('hf:ns/model', {}, notices))).toEqual(expected)
  expect(notices.filter((notice) => /cannot be reached/.test(notice))).toEqual([])
})

test('what other machines cannot fetch is fetched by the build', async () => {
  await using hub = await startHub()
  const kinds: string[] = []
  const executor: BuildOptions['executor'] = (place) => {
    const own = inProcess({ measured: join(place.path, 'measured'), threads: 1 })
    const away: UnitExecutor = {
      ...own,
      capacity: 4,
      isRemote: true,
      fetchBytes,
      run(task) {
        kinds.push(task.unit.kind)
        if (task.unit.kind !== 'fetch') return own.run(task)
        throw MqError.of('NETWORK', { url: 'http://hub', problem: 'there is no way' })
      },
    }
    return away
  }
  const notices: string[] = []
  expect(digestsOf(await run('hf:ns/model', { executor }, notices))).toEqual(expected)
  expect(kinds.filter((kind) => kind === 'fetch')).toHaveLength(3)
  expect(notices.filter((notice) => /there is no way.*fetched by the build itself/.test(notice))).toHaveLength(3)
  expect(hub.asked()).toEqual(Object.keys(files).toSorted())
  // What the cache of a machine holds is taken from there.
  expect(digestsOf(await run('hf:ns/model'))).toEqual(expected)
  const asked = hub.asked().length
  expect(digestsOf(await run('hf:ns/model', { executor }))).toEqual(expected)
  expect(hub.asked()).toHaveLength(asked)
})

describe.skipIf(!redisServer.available)(`on a farm (${redisServer.name})`, { timeout: 120_000 }, () => {
  let redis: RunningRedis
  beforeAll(async () => {
    redis = await runRedis()
  })
  afterAll(() => redis[Symbol.asyncDispose]())

  /** Runs a build with two workers. @returns with it the units that they did, without their keys. */
  async function onFarm(options: Partial<BuildOptions> = {}): Promise<BuildOutcome & { readonly units: string[] }> {
    const stopping = new AbortController()
    const units: string[] = []
    const workers = [1, 2].map(async () => {
      for await (const { event, unit } of work({ queue: redis.url, threads: 1, signal: stopping.signal }))
        if (event === 'done') units.push(unit?.split(' ')[0] ?? '')
    })
    try {
      await using farm = await openFarm({ queue: redis.url, fetchBytes })
      return { ...(await run('hf:ns/model', { executor: farm.executor, ...options })), units }
    } finally {
      stopping.abort()
      await Promise.all(workers)
    }
  }

  test('workers fetch the shards of a model, each once, and a second build fetches none', async () => {
    await using hub = await startHub()
    const place = at('work-of-farm')
    const first = await onFarm({ work: place })
    expect(digestsOf(first)).toEqual(expected)
    expect(first.units.toSorted()).toEqual(['fetch', 'fetch', 'fetch', 'plan', 'quantize'])
    expect(hub.asked()).toEqual(Object.keys(files).toSorted())
    const again = await onFarm({ work: place, prune: true })
    expect([digestsOf(again), again.units]).toEqual([expected, []])
    expect(hub.asked()).toHaveLength(Object.keys(files).length)
    expect((await onFarm({ work: place })).units).toEqual([])
  })

  test('an answer that is cut is gone on with, and one with other bytes is refused', async () => {
    {
      await using hub = await startHub({
        onFile: (request, response) =>
          request.path === shards[1] && request.count === 0
            ? sendAndCut(response, request.bytes, 1000)
            : sendAsAsked(request, response),
      })
      expect(digestsOf(await onFarm())).toEqual(expected)
      expect(hub.asked()).toHaveLength(Object.keys(files).length + 1)
    }
    await using _ = await startHub({
      onFile: ({ path, bytes, ...request }, response) =>
        sendAsAsked({ ...request, path, bytes: path === shards[1] ? Buffer.alloc(bytes.length) : bytes }, response),
    })
    await expect(onFarm()).rejects.toMatchObject({ code: 'DOWNLOAD_CORRUPT', details: { file: shards[1] } })
  })
})
