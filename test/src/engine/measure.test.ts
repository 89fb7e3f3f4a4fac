import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { measure } from '../../../src/engine/measure.js'
import type { Blueprint } from '../../../src/model/blueprint.js'
import { finish } from '../../../src/progress/index.js'
import { oracle } from '../../support/ggml-oracle.js'
import { smallModel, wave } from '../../support/small-model.js'

let folder = ''
let blueprint: Blueprint
const values = wave(4 * 100 * 256)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-measure-'))
  const broken = wave(64 * 256)
  broken[256 * 4] = Number.NaN
  blueprint = await smallModel(folder, [
    { name: 'experts.weight', shape: [4, 100, 256], values, stacked: true },
    { name: 'large.weight', shape: [3000, 512] },
    { name: 'zero.weight', shape: [4, 256], values: new Float32Array(1024) },
    { name: 'big.weight', shape: [1, 256], values: new Float32Array(256).fill(1e6) },
    { name: 'broken.weight', shape: [64, 256], values: broken },
  ])
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const types: GgmlTypeName[] = ['Q8_0', 'F16']

describe('measuring', () => {
  test.skipIf(!oracle.available)(`every row gives what ggml's blocks give (${oracle.name})`, async () => {
    const importance = Float32Array.from({ length: 4 * 256 }, (_, index) => 1 + (index % 13))
    const measured = await finish(
      measure({
        blueprint,
        requests: [{ tensor: 'experts.weight', types, rows: 400 }],
        importance: () => importance,
        threads: 2,
      }),
    )
    const weight = (index: number): number => importance[Math.floor(index / 25_600) * 256 + (index % 256)] as number
    for (const type of types) {
      const stored = oracle.dequantize(type, oracle.quantize(type, values, 256), values.length)
      const error = values.reduce((sum, x, index) => sum + weight(index) * (x - (stored[index] as number)) ** 2, 0)
      const norm = values.reduce((sum, x, index) => sum + weight(index) * x * x, 0)
      const found = measured.get('experts.weight')?.get(type)
      expect(found?.relativeError).toBeCloseTo(error / norm, 12)
      expect(found?.errorPerWeight).toBeCloseTo(error / values.length, 12)
      expect(found?.meanSquare).toBeCloseTo(norm / values.length, 9)
    }
  })

  test('a sample is near the whole, and the same for any number of threads', async () => {
    const sample = async (rows: number, threads: number) =>
      finish(measure({ blueprint, requests: [{ tensor: 'large.weight', types, rows }], threads }))
    const [one, two, whole] = [await sample(600, 1), await sample(600, 2), await sample(3000, 2)]
    expect(two).toEqual(one)
    for (const type of types) {
      const ratio =
        (one.get('large.weight')?.get(type)?.relativeError ?? 0) / (whole.get('large.weight')?.get(type)?.relativeError ?? 0)
      expect(ratio).toBeGreaterThan(0.9)
      expect(ratio).toBeLessThan(1.1)
    }
  })

  test('many tensors and types come back in the order of the requests, with progress to the end', async () => {
    const requests = ['large.weight', 'experts.weight'].map((tensor) => ({ tensor, types }))
    const events: number[] = []
    const measured = await finish(measure({ blueprint, requests, threads: 2 }), ({ done, total }) => events.push(done / total))
    expect([...measured].map(([tensor, found]) => [tensor, [...found.keys()]])).toEqual([
      ['large.weight', types],
      ['experts.weight', types],
    ])
    expect(events.at(-1)).toBe(1)
  })

  test('zeros have no error, and what a type cannot hold has an infinite one', async () => {
    const requests = [
      { tensor: 'zero.weight', types },
      { tensor: 'big.weight', types },
    ]
    const measured = await finish(measure({ blueprint, requests }))
    expect(measured.get('zero.weight')?.get('Q8_0')).toEqual({ relativeError: 0, errorPerWeight: 0, meanSquare: 0 })
    expect(measured.get('big.weight')?.get('F16')?.relativeError).toBe(Number.POSITIVE_INFINITY)
    expect(measured.get('big.weight')?.get('Q8_0')?.relativeError).toBeLessThan(1e-6)
  })

  test('names weights that are not numbers', async () => {
    const work = measure({ blueprint, requests: [{ tensor: 'broken.weight', types }] })
    await expect(finish(work)).rejects.toMatchObject({ code: 'TENSOR_NOT_FINITE', details: { tensor: 'broken.weight', row: 4 } })
  })

  test('nothing asked is nothing measured', async () => {
    expect(await finish(measure({ blueprint, requests: [] }))).toEqual(new Map())
  })

  test('stops when told to', async () => {
    const work = measure({ blueprint, requests: [{ tensor: 'large.weight', types }], signal: AbortSignal.abort() })
    await expect(finish(work)).rejects.toMatchObject({ code: 'INTERRUPTED' })
  })
})
