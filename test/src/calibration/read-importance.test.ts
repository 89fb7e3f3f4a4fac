import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openCodec } from '../../../formats/ggml/codec.js'
import { type MetadataValue, openGguf, writeGguf } from '../../../formats/gguf/index.js'
import { readImportance } from '../../../src/calibration/index.js'
import type { Blueprint } from '../../../src/model/blueprint.js'
import { finish } from '../../../src/progress/index.js'
import { quantize } from '../../../src/quantize/index.js'
import { smallModel, smallPlan, wave } from '../../support/small-model.js'

let folder = ''
let path = ''
let blueprint: Blueprint

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-importance-'))
  path = join(folder, 'imatrix.gguf')
  const model = await smallModel(folder, [
    { name: 'blk.0.a.weight', shape: [64, 256] },
    { name: 'blk.0.b.weight', shape: [2, 16, 256], stacked: true },
  ])
  blueprint = { ...model, tensors: model.tensors.map((tensor) => ({ ...tensor, layer: 0 })) }
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** Writes llama.cpp's GGUF form: sums of squares of so many tokens for each matrix. */
async function writeMatrix(sums: Readonly<Record<string, { values: number[]; counts: number[] }>>): Promise<void> {
  const metadata = new Map<string, MetadataValue>([['general.type', { type: 'string', value: 'imatrix' }]])
  const f32 = (name: string, values: number[]) => {
    const data = new Uint8Array(Float32Array.from(values).buffer)
    return { name, dimensions: [values.length], type: 'F32' as const, data }
  }
  const tensors = Object.entries(sums).flatMap(([name, { values, counts }]) => [
    f32(`${name}.in_sum2`, values),
    f32(`${name}.counts`, counts),
  ])
  await writeGguf(path, metadata, tensors)
}

/** Sum of w (x - x')^2 over sum of w x^2 of the first tensor, worked out here. */
async function weightedError(file: string, weights: number[]): Promise<number> {
  const model = await openGguf(file)
  const [tensor] = model.tensors
  const bytes = (await model.sources[0]?.slice(tensor?.start ?? 0, tensor?.end ?? 0)) ?? new Uint8Array()
  await model.close()
  const stored = (await openCodec()).dequantize('Q4_K', bytes, 64 * 256)
  const values = wave(64 * 256)
  const sum = (term: (x: number, y: number) => number): number =>
    values.reduce((total, x, at) => total + (weights[at % 256] ?? 0) * term(x, stored[at] ?? 0), 0)
  return sum((x, y) => (x - y) ** 2) / sum((x) => x * x)
}

const columns = (count: number): number[] => Array.from({ length: count }, (_, index) => 20 + index)

describe('an importance matrix', () => {
  test('of another model is refused, though some names and widths agree; one of more layers is not', async () => {
    const entry = { values: columns(256), counts: [10] }
    await writeMatrix({ 'blk.0.a.weight': entry, 'blk.0.c.weight': entry, 'blk.1.a.weight': entry })
    const problem = '1 of its 2 tensors are not in the model, such as blk.0.c.weight'
    await expect(readImportance(path, blueprint)).rejects.toMatchObject({ code: 'CALIBRATION_MISMATCH', details: { problem } })
    await writeMatrix({ 'blk.0.a.weight': entry, 'blk.1.a.weight': entry, 'blk.1.c.weight': entry })
    expect((await readImportance(path, blueprint)).notes).toHaveLength(1)
  })

  test('gives means of squares by name, matrix after matrix', async () => {
    await writeMatrix({
      'blk.0.a.weight': { values: columns(256), counts: [10] },
      'blk.0.b.weight': { values: columns(512), counts: [10, 20] },
    })
    const { importance, notes } = await readImportance(path, blueprint)
    expect(importance('blk.0.a.weight')?.[3]).toBeCloseTo(2.3, 6)
    // 20 tokens of its own and 64 of all 30
    expect(importance('blk.0.b.weight')?.[256]).toBeCloseTo((276 + 64 * ((20 + 276) / 30)) / (20 + 64), 5)
    expect(importance('output.weight')).toBeUndefined()
    expect(notes).toEqual([])
  })

  test('changes what is written, and errors are reported with its weights, too', async () => {
    await writeMatrix({ 'blk.0.a.weight': { values: columns(256).map((x) => x ** 3), counts: [10] } })
    const { importance, notes } = await readImportance(path, blueprint)
    expect(notes).toEqual(['The importance matrix has no entry for 1 of the 2 matrices in the layers.'])
    const plan = smallPlan(blueprint, 'Q4_K')
    const error = async (name: string, options: { importance?: typeof importance }) => {
      const output = join(folder, name)
      return (await finish(quantize({ blueprint, plan, output, threads: 1, ...options }))).tensors
    }
    const [weighted, plain] = [await error('weighted.gguf', { importance }), await error('plain.gguf', {})]
    const found = await weightedError(
      join(folder, 'weighted.gguf'),
      columns(256).map((x) => x ** 3),
    )
    expect(weighted[0]?.weightedRelativeError).toBeCloseTo(found, 9)
    expect(found).toBeLessThan(
      await weightedError(
        join(folder, 'plain.gguf'),
        columns(256).map((x) => x ** 3),
      ),
    )
    expect(weighted[0]?.relativeError).toBeGreaterThan(plain[0]?.relativeError ?? 1)
    expect(weighted[1]?.weightedRelativeError).toBeUndefined()
    expect(plain[0]?.measuredWeights).toBe(64 * 256)
  })

  test.each<[string, () => Promise<void>, string]>([
    ['of other columns', () => writeMatrix({ 'blk.0.a.weight': { values: columns(128), counts: [1] } }), 'IMPORTANCE_MISMATCH'],
    ['of another model', () => writeMatrix({ 'blk.9.a.weight': { values: columns(256), counts: [1] } }), 'IMPORTANCE_MISMATCH'],
    ['that is not one', () => writeFile(path, 'x'.repeat(100)), 'IMATRIX_INVALID'],
    ['that is not there', async () => undefined, 'FILE_MISSING'],
  ])('%s is refused', async (_, make, code) => {
    await make()
    await expect(readImportance(path, blueprint)).rejects.toMatchObject({ code })
  })
})
