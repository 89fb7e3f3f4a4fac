import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningRedis, redisServer, runRedis } from '../../../bench/redis.js'
import {
  inProcess,
  type StepRecord,
  splitting,
  type Unit,
  type UnitExecutor,
  type UnitInput,
  unitKey,
  unitVersion,
  type WorkFolder,
  workFolder,
} from '../../../src/build/index.js'
import { openFarm, work } from '../../../src/farm/index.js'
import { makeBlueprint } from '../../../src/model/index.js'
import { makePlan, planUniform } from '../../../src/plan/index.js'
import { finish } from '../../../src/progress/index.js'
import { quantize } from '../../../src/quantize/index.js'
import { modelKeeper } from '../../../src/runner/index.js'
import { writeOneLayerSample } from '../../support/one-layer-sample.js'
import { llama, samplePath } from '../../support/sample-models.js'

const text = samplePath('text/kjv-calibration.txt')
const sizes = { partTensors: 3, partBatches: 1, partWeights: 2 ** 17 }
/** With groups of 8 batches: three of calibration, two of logits. */
const [calibrated, measured] = [17, 5]

let folder: string
let model: string
let other: string
let count = 0

describe.skipIf(!llama.available)(`units over groups of chunks and tensors (${llama.name})`, { timeout: 240_000 }, () => {
  let alone: Results
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-divided-'))
    const sample = join(folder, 'sample')
    await writeOneLayerSample(sample, { vocabulary: 512, intermediate: 256 })
    const blueprint = await makeBlueprint(sample)
    model = join(folder, 'F16.gguf')
    other = join(folder, 'Q4_0.gguf')
    await finish(quantize({ blueprint, plan: planUniform(blueprint, 'F16'), output: model, threads: 1 }))
    await finish(
      quantize({ blueprint, plan: await finish(makePlan(blueprint, { kind: 'type', type: 'Q4_0' })), output: other, threads: 1 }),
    )
    alone = await runAll(() => inProcess({ measured: join(folder, 'measured'), threads: 1 }))
  }, 120_000)
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test('have the bytes of units in one piece', async () => {
    const kinds: string[] = []
    await using models = modelKeeper()
    const { digests } = await runAll((place) => {
      const own = inProcess({ measured: join(place.path, 'measured'), threads: 1, models })
      const counted: UnitExecutor = {
        ...own,
        run(task) {
          kinds.push(task.unit.kind)
          return own.run(task)
        },
      }
      return splitting(counted, place, sizes)
    })
    expect(digests).toStrictEqual(alone.digests)
    const times = (kind: string): number => kinds.filter((one) => one === kind).length
    expect([times('calibrate-part'), times('reference-part'), times('measure-part')]).toEqual([3, 2, 2])
    expect(times('plan-part')).toBeGreaterThanOrEqual(3)
    for (const kind of ['calibrate', 'reference', 'measure', 'plan']) expect(times(kind)).toBe(1)
  })

  describe.skipIf(!redisServer.available)(`on a farm (${redisServer.name})`, () => {
    let redis: RunningRedis
    beforeAll(async () => {
      redis = await runRedis()
    })
    afterAll(() => redis[Symbol.asyncDispose]())

    test.each([1, 2, 4])('have the same bytes with %i workers', async (workers) => {
      const stopping = new AbortController()
      const running = Array.from({ length: workers }, async () => {
        const events = work({ queue: redis.url, threads: 1, signal: stopping.signal })
        for (;;) {
          const next = await events.next()
          if (next.done === true) return next.value.done
        }
      })
      let digests: Results['digests']
      {
        await using farm = await openFarm({ queue: redis.url, ...sizes })
        ;({ digests } = await runAll(farm.executor))
      }
      stopping.abort()
      const done = await Promise.all(running)
      expect(digests).toStrictEqual(alone.digests)
      // Four units, and 3, 2, 2 and at least 3 parts of them.
      expect(done.reduce((sum, units) => sum + units, 0)).toBeGreaterThanOrEqual(14)
      for (const units of done) expect(units).toBeGreaterThan(0)
    })
  })
})

interface Results {
  /** Kind of unit -> name and digest of each file. */
  readonly digests: Readonly<Record<string, readonly (readonly [string, string])[]>>
}

/** Calibrates, plans by the calibration, keeps base logits, and measures another model against them. */
async function runAll(executorOf: (place: WorkFolder) => UnitExecutor): Promise<Results> {
  const place = workFolder(join(folder, `work${count++}`))
  await mkdir(place.path)
  const executor = executorOf(place)
  const run = async (kind: Unit['kind'], options: Unit['options'], inputs: Record<string, UnitInput>): Promise<StepRecord> => {
    // Here files are named by their places: only builds know them by content.
    const unit = {
      version: unitVersion(),
      kind,
      options,
      inputs: Object.fromEntries(Object.entries(inputs).map(([role, { path }]) => [role, path])),
    }
    const key = unitKey(unit)
    const made = await finish(executor.run({ unit, key, inputs, folder: place.folderOf(kind, key) }))
    return made.record ?? (await place.commit(unit, key, { ...made, seconds: 0 }))
  }
  const at = (path: string): UnitInput => ({ path, folder: path })
  const of = ({ folder: own, files }: StepRecord): UnitInput => ({ path: join(own, files[0]?.name ?? ''), folder: own })
  const calibrate = await run(
    'calibrate',
    { chunks: calibrated, rank: 16, groupBatches: 8 },
    { model: at(model), text: at(text) },
  )
  const plan = await run(
    'plan',
    { scales: [], use: 'full', request: { bits: 4, widen: 'none' } },
    { model: at(join(folder, 'sample')), calibration: of(calibrate) },
  )
  const reference = await run(
    'reference',
    { chunks: measured, reference: { name: 'sample', files: [] } },
    { model: at(model), text: at(text) },
  )
  const measure = await run('measure', { chunks: measured }, { model: at(other), text: at(text), reference: of(reference) })
  const digests = { calibrate, plan, reference, measure }
  return {
    digests: Object.fromEntries(
      Object.entries(digests).map(([kind, { files }]) => [kind, files.map(({ name, sha256 }) => [name, sha256] as const)]),
    ),
  }
}
