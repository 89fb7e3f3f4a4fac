import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { gaussian } from '../../../bench/random.js'
import { openCodec } from '../../../formats/ggml/codec.js'
import { prepareFeedback } from '../../../formats/ggml/feedback.js'
import { openGguf } from '../../../formats/gguf/index.js'
import { defaultDamping, type InputCovariances } from '../../../src/engine/input-covariances.js'
import { measure } from '../../../src/engine/measure.js'
import type { MqError } from '../../../src/errors/index.js'
import type { Blueprint } from '../../../src/model/blueprint.js'
import { chooseDampings, type DampingOptions, strongestNearBest } from '../../../src/plan/dampings.js'
import type { Plan } from '../../../src/plan/plan.js'
import { readPlan, writePlan } from '../../../src/plan/plan-file.js'
import { finish, type Progress } from '../../../src/progress/index.js'
import { type QuantizeOptions, quantize } from '../../../src/quantize/quantize.js'
import { outputError } from '../../support/gptq.js'
import { madeUpInputs } from '../../support/input-covariances.js'
import { smallModel, smallPlan, wave } from '../../support/small-model.js'

let folder = ''
let output = ''
let blueprint: Blueprint
let plan: Plan
const values = gaussian(768 * 256, 1)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-feedback-'))
  output = join(folder, 'model.gguf')
  blueprint = await smallModel(folder, [
    { name: 'embedding.weight', shape: [128, 256] },
    { name: 'q.weight', shape: [768, 256], values },
    { name: 'experts.weight', shape: [3, 64, 256], stacked: true },
    { name: 'k.weight', shape: [128, 256] },
    { name: 'down.weight', shape: [384, 512] },
  ])
  plan = smallPlan(blueprint, 'Q2_K', { 'k.weight': 'Q4_K', 'down.weight': 'IQ2_XXS' })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function inputOf(tensor: string, matrix: number): string | undefined {
  if (tensor.startsWith('experts')) return `expert ${matrix}`
  return { 'q.weight': 'attention', 'k.weight': 'attention', 'down.weight': 'inner' }[tensor]
}

function calibrationOf(seed: number): ReturnType<typeof madeUpInputs> {
  const whole = { columns: 256, rank: 'full' as const }
  const experts = [0, 1, 2].map((expert) => [`expert ${expert}`, { columns: 256, rank: 16, seed: seed + expert }] as const)
  const inputs = { attention: { ...whole, seed }, inner: { columns: 512, rank: 8, seed }, ...Object.fromEntries(experts) }
  return madeUpInputs(inputs, inputOf, `made up ${seed}`)
}
const calibration = calibrationOf(1)

async function hashOf(options: Partial<QuantizeOptions> = {}): Promise<string> {
  const { path, tensors } = await finish(quantize({ blueprint, plan, output, force: true, calibration, ...options }))
  const statistics = JSON.stringify(tensors.map((tensor) => ({ ...tensor, seconds: 0 })))
  return createHash('sha256')
    .update(await readFile(path))
    .update(statistics)
    .digest('hex')
}

async function stored(name: string): Promise<Float32Array> {
  const gguf = await openGguf(output)
  try {
    const found = gguf.tensors.find((tensor) => tensor.name === name)
    const bytes = await gguf.sources[found?.file ?? 0]?.slice(found?.start ?? 0, found?.end ?? 0)
    const codec = await openCodec()
    return codec.dequantize(
      found?.type ?? 'F32',
      bytes ?? new Uint8Array(),
      (found?.dimensions ?? []).reduce((a, b) => a * b, 1),
    )
  } finally {
    await gguf.close()
  }
}

describe('with a calibration', () => {
  test('the bytes and figures are the same for 1, 2 and 5 threads and for little memory', async () => {
    const refused = await finish(quantize({ blueprint, plan, output, calibration, memoryBytes: 1 })).catch(
      (error: unknown) => error,
    )
    expect(refused).toMatchObject({ code: 'MEMORY_TOO_SMALL' })
    // What the test process itself holds changes from moment to moment.
    const memoryBytes = Number((refused as MqError).details['least']) + 2 ** 25
    const hashes = new Set<string>()
    for (const options of [{ threads: 2, memoryBytes }, { threads: 1 }, { threads: 2 }, { threads: 5 }]) {
      hashes.add(await hashOf(options))
    }
    expect(hashes.size).toBe(1)
  })

  test('codes leave less error in the outputs, and nothing else changes', async () => {
    const h = calibration.matrices.get('attention') as Float64Array
    await hashOf()
    const fed = { q: await stored('q.weight'), embedding: await stored('embedding.weight') }
    await finish(quantize({ blueprint, plan, output, force: true }))
    const plain = { q: await stored('q.weight'), embedding: await stored('embedding.weight') }
    expect(fed.embedding).toEqual(plain.embedding)
    const rows = values.subarray(0, 64 * 256)
    const ratio = outputError(rows, fed.q.subarray(0, rows.length), h) / outputError(rows, plain.q.subarray(0, rows.length), h)
    expect(ratio).toBeLessThan(0.5)
  })

  test('each expert is stored with the inputs that it sees itself', async () => {
    await hashOf()
    const codec = await openCodec()
    const found = await stored('experts.weight')
    const rows = wave(3 * 64 * 256)
    for (const expert of [0, 1, 2]) {
      const factor = prepareFeedback(await calibration.covariance(`expert ${expert}`), defaultDamping, ['16x1'])
      const [from, to] = [expert * 64 * 256, (expert + 1) * 64 * 256]
      const blocks = codec.quantizeWithFeedback('Q2_K', rows.subarray(from, to), 256, factor)
      expect(found.subarray(from, to)).toEqual(codec.dequantize('Q2_K', blocks, to - from))
    }
  })

  test('an interrupted run goes on with the same one, and begins anew with another', async () => {
    const interrupt = async (): Promise<void> => {
      const controller = new AbortController()
      const work = quantize({ blueprint, plan, output, calibration, force: true, threads: 1, signal: controller.signal })
      const onProgress = ({ done, total }: Progress): void => {
        if (done >= 0.4 * total) controller.abort()
      }
      await expect(finish(work, onProgress)).rejects.toMatchObject({ code: 'INTERRUPTED' })
    }
    const undisturbed = await hashOf()
    await interrupt()
    const resumed = await finish(quantize({ blueprint, plan, output, calibration, force: true }))
    expect(resumed.resumedBytes).toBeGreaterThan(0)
    const other: InputCovariances = calibrationOf(2)
    await interrupt()
    expect((await finish(quantize({ blueprint, plan, output, calibration: other, force: true }))).resumedBytes).toBe(0)
    expect(await hashOf({ fresh: true })).toBe(undisturbed)
  })
})

describe('measuring with a calibration', () => {
  const requests = [
    { tensor: 'q.weight', types: ['Q2_K', 'Q4_K', 'Q6_K'] as const, rows: 768 },
    { tensor: 'embedding.weight', types: ['Q2_K'] as const },
    { tensor: 'experts.weight', types: ['Q2_K', 'IQ3_S'] as const },
  ]

  test('the error of the outputs is that of the file, and the same for any number of threads', async () => {
    const measured = await finish(measure({ blueprint, requests, calibration, threads: 1 }))
    expect(await finish(measure({ blueprint, requests, calibration, threads: 3 }))).toEqual(measured)
    expect(measured.get('embedding.weight')?.get('Q2_K')).not.toHaveProperty('outputError')
    const found = measured.get('q.weight')
    const { tensors } = await finish(quantize({ blueprint, plan, output, force: true, calibration }))
    const h = calibration.matrices.get('attention') as Float64Array
    const wanted = outputError(values, await stored('q.weight'), h) / outputError(values, new Float32Array(values.length), h)
    expect((found?.get('Q2_K')?.outputError ?? 0) / wanted).toBeCloseTo(1, 4)
    // Of a few rows.
    const reported = tensors.find(({ name }) => name === 'q.weight')?.outputError ?? 0
    expect(Math.abs(reported / wanted - 1)).toBeLessThan(0.2)
    expect(found?.get('Q4_K')?.outputError).toBeLessThan(0.1 * wanted)
    expect(found?.get('Q6_K')?.outputError).toBeLessThan(0.1 * (found?.get('Q4_K')?.outputError ?? 0))
  })
})

describe('damping', () => {
  test('is chosen by inputs that were held out: the same for any number of threads, and kept by the plan', async () => {
    const choose = (options: Partial<DampingOptions>): Promise<Plan> =>
      finish(chooseDampings(blueprint, plan, { calibration, ...options }))
    const chosen = await choose({ threads: 1 })
    expect(await choose({ threads: 3 })).toEqual(chosen)
    expect(chosen.calibration).toBe(calibration.digest)
    const dampings = Object.fromEntries(chosen.tensors.map(({ name, damping }) => [name, damping]))
    expect(dampings).toEqual({
      'embedding.weight': undefined,
      'q.weight': expect.any(Number),
      'experts.weight': expect.any(Number),
      'k.weight': expect.any(Number),
      'down.weight': expect.any(Number),
    })
    const path = join(folder, 'plan.json')
    await writePlan(path, chosen, { force: true })
    const read = await readPlan(path)
    expect(read.tensors.map(({ damping }) => damping)).toEqual(chosen.tensors.map(({ damping }) => damping))
    expect(read.calibration).toBe(calibration.digest)
    expect(await finish(chooseDampings(blueprint, read, { calibration: calibrationOf(2) }))).toEqual(read)
    expect(await hashOf({ plan: read })).toBe(await hashOf({ plan: chosen }))
  })

  test('that is given holds for all, and 0 is no feedback', async () => {
    const none = await finish(chooseDampings(blueprint, plan, { calibration, damping: 0 }))
    await hashOf({ plan: none })
    const unfed = await stored('q.weight')
    await finish(quantize({ blueprint, plan, output, force: true }))
    expect(await stored('q.weight')).toEqual(unfed)
    const some = await finish(chooseDampings(blueprint, none, { calibration, damping: 0.5 }))
    expect(new Set(some.tensors.map(({ damping }) => damping))).toEqual(new Set([undefined, 0.5]))
  })

  test.each<[Record<number, number>, number]>([
    [{ 0: 1, 0.1: 0.5, 0.2: 0.51, 0.4: 0.53, 0.8: 0.6 }, 0.4],
    [{ 0: 1, 0.1: 0.9, 0.2: 0.99 }, 0.1],
    [{ 0: 1, 0.1: 0.99, 0.2: 1.2 }, 0],
  ])('of errors %o it is %d', (errors, wanted) => {
    expect(strongestNearBest(new Map(Object.entries(errors).map(([damping, error]) => [Number(damping), error])))).toBe(wanted)
  })
})
