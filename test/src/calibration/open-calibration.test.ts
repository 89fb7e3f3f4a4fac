import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sampleCovariances } from '../../../bench/activations.js'
import type { Covariance } from '../../../formats/ggml/covariance.js'
import {
  type CollectedCovariance,
  type CollectedInput,
  randomSigns,
  writeImportanceMatrix,
} from '../../../formats/imatrix/index.js'
import {
  type Calibration,
  makeImatrix,
  matrixStatistics,
  mergeMatrices,
  openCalibration,
  statisticsText,
} from '../../../src/calibration/index.js'
import { covarianceFrom } from '../../../src/covariance/covariance-source.js'
import { nystrom } from '../../../src/covariance/nystrom.js'
import { makeBlueprint } from '../../../src/model/convert/index.js'
import { finish } from '../../../src/progress/index.js'
import { asGguf } from '../../../src/quantize/as-gguf.js'
import { llama, samplePath } from '../../support/sample-models.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-calibration-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const expert = 'blk.1.ffn_down_exps.weight'
const up = 'blk.1.ffn_up_exps.weight'
const gate = 'blk.1.ffn_gate_exps.weight'
const n = 32

const tensor = (name: string, shape: readonly number[]) =>
  ({ name, shape, role: 'other', layer: 1, keepF32: false, recipe: { op: 'zeros', shape } }) as never
const model = {
  architecture: 'llama',
  tensors: [tensor(gate, [2, 8, n]), tensor(up, [2, 8, n]), tensor(expert, [2, 8, n]), tensor('output.weight', [8, n])],
}

/** A file whose inputs are named by the first of their weights. */
async function write(
  name: string,
  inputs: Record<string, CollectedInput>,
  change: Partial<CollectedCovariance> = {},
): Promise<string> {
  const path = join(folder, name)
  const inputOf = new Map(Object.keys(inputs).map((key): [string, string] => [key, key]))
  if (gate in inputs) inputOf.set(up, gate)
  const covariance = { seed: 1, rank: 4, inputOf, inputs: new Map(Object.entries(inputs)), ...change }
  const entries = new Map([[up, { sums: new Float32Array(n).fill(4), counts: [2] }]])
  await writeImportanceMatrix(path, { entries, datasets: ['text'], chunks: 1, chunkLength: 512, covariance })
  return path
}

const covarianceOf = async (calibration: Calibration, key: string): Promise<Covariance> =>
  await covarianceFrom(await calibration.source(key), () => expect.fail('no weights are needed'))

/** Sums over one row, all of whose values are `value`, for each matrix. */
function whole(...values: number[]): CollectedInput {
  const triangle = (n * (n + 1)) / 2
  return {
    columns: n,
    tokens: values.map((value) => (value === 0 ? 0 : 1)),
    whole: Float32Array.from({ length: values.length * triangle }, (_, at) => (values[Math.floor(at / triangle)] as number) ** 2),
    kept: Float32Array.from({ length: n * values.length }, (_, at) => Math.floor(at / n) + 1),
    keptCounts: values.map(() => 1),
  }
}

const diagonalOf = (covariance: Covariance): number[] =>
  'full' in covariance
    ? Array.from({ length: n }, (_, i) => covariance.full[i * (n + 1)] as number)
    : Array.from(covariance.diagonal, (value, i) => {
        const factors = covariance.factors ?? []
        let sum = value
        for (let at = i; at < factors.length; at += n) sum += (factors[at] as number) ** 2
        return sum
      })

test('weights of one input have its key, experts with inputs of their own each another', async () => {
  const path = await write('keys.gguf', { [gate]: whole(3), [expert]: whole(2, 4) })
  const calibration = await openCalibration(path, model)
  expect([gate, up, expert, 'output.weight'].map((name) => [calibration.inputOf(name, 0), calibration.inputOf(name, 1)])).toEqual(
    [
      [gate, gate],
      [gate, gate],
      [`${expert}#0`, `${expert}#1`],
      [undefined, undefined],
    ],
  )
  expect(await covarianceOf(calibration, gate)).toEqual({ full: new Float64Array(n * n).fill(9) })
  expect(await calibration.heldOut(`${expert}#1`)).toEqual(new Float32Array(n).fill(2))
  expect(calibration.digest).toBe(
    createHash('sha256')
      .update(await readFile(path))
      .digest('hex'),
  )
  expect([...(calibration.importance(up) ?? [])]).toEqual(Array.from({ length: n }, () => 2))
  // of weights without importance the diagonal is
  expect([...(calibration.importance(gate) ?? [])]).toEqual(Array.from({ length: n }, () => 9))
  await calibration.close()
})

test('an expert that saw few tokens has the diagonal of all, and none of what goes together by chance', async () => {
  const calibration = await openCalibration(await write('experts.gguf', { [expert]: whole(2, 4, 0) }), {
    architecture: 'llama',
    tensors: [tensor(up, [2, 8, n]), tensor(expert, [3, 8, n])],
  })
  const [first, unseen] = [await covarianceOf(calibration, `${expert}#0`), await covarianceOf(calibration, `${expert}#2`)]
  const pooled = (4 + 16) / 2
  for (const value of diagonalOf(unseen)) expect(value).toBeCloseTo(pooled, 12)
  for (const value of diagonalOf(first)) expect(value).toBeCloseTo((4 + 16 * pooled) / 17, 12)
  if (!('full' in first && 'full' in unseen)) expect.fail('not whole')
  expect(first.full[1]).toBeCloseTo(4 / 17, 12)
  expect(unseen.full[1]).toBe(0)
  await calibration.close()
})

test('a sketch gives directions and keeps the trace', async () => {
  const width = 16
  const rows = Array.from({ length: 6 }, (_, t) => Float64Array.from({ length: n }, (_, i) => Math.sin((t + 1) * (i + 2))))
  const signs = randomSigns(1, n, width)
  const sketch = new Float32Array(n * width)
  const squares = new Float32Array(n)
  for (const row of rows) {
    const dots = Array.from({ length: width }, (_, c) => row.reduce((sum, x, i) => sum + x * (signs[i * width + c] as number), 0))
    for (let i = 0; i < n; i += 1) {
      squares[i] = (squares[i] as number) + (row[i] as number) ** 2
      for (const [c, dot] of dots.entries()) sketch[i * width + c] = (sketch[i * width + c] as number) + (row[i] as number) * dot
    }
  }
  const input = { columns: n, tokens: [6], squares, sketch, kept: new Float32Array(), keptCounts: [0] }
  const path = await write('sketch.gguf', { [gate]: input }, { rank: 6 })
  const calibration = await openCalibration(path, model)
  const covariance = await covarianceOf(calibration, gate)
  if ('full' in covariance) expect.fail('whole')
  expect(covariance.factors).toHaveLength(6 * n)
  for (const [i, value] of diagonalOf(covariance).entries()) expect(value).toBeCloseTo((squares[i] as number) / 6, 5)
  expect(Math.max(...covariance.diagonal)).toBeLessThan(1e-3)
  expect(await calibration.heldOut(gate)).toHaveLength(0)
  await calibration.close()
  const { inputs } = await matrixStatistics(path)
  expect(inputs).toMatchObject([
    { input: gate, weights: 2, columns: n, matrices: 1, form: 'sketch', rank: 6, tokens: 6, rowsKept: 0 },
  ])
  expect(inputs?.[0]?.share).toBeCloseTo(1, 3)

  const both = join(folder, 'both.gguf')
  expect(await mergeMatrices([path, path], both)).toMatchObject({ inputs: 1, withoutCovariance: 0 })
  const merged = await openCalibration(both, model)
  expect(await covarianceOf(merged, gate)).toEqual(covariance)
  await merged.close()
  expect(nystrom(sketch, signs, Float64Array.from(squares), 3).factors).toHaveLength(3 * n)
})

test('what cannot be added is refused, and covariances that one file lacks are left out', async () => {
  const a = await write('a.gguf', { [gate]: whole(3) })
  const output = join(folder, 'refused.gguf')
  const refused = [
    await write('b.gguf', { [gate]: whole(3) }, { seed: 2 }),
    await write('c.gguf', { [gate]: whole(3) }, { rank: 8 }),
    await write('d.gguf', {
      [gate]: { columns: n, tokens: [1], squares: new Float32Array(n), kept: new Float32Array(), keptCounts: [0] },
    }),
  ]
  for (const file of refused) {
    await expect(mergeMatrices([a, file], output)).rejects.toMatchObject({
      code: 'CALIBRATION_MISMATCH',
      details: { file, first: a },
    })
  }
  const plain = join(folder, 'plain.gguf')
  const entries = new Map([[up, { sums: new Float32Array(n).fill(4), counts: [2] }]])
  await writeImportanceMatrix(plain, { entries, datasets: [], chunks: 1, chunkLength: 512 })
  expect(await mergeMatrices([a, plain], output)).toMatchObject({ inputs: 0, withoutCovariance: 1 })
  const calibration = await openCalibration(plain, model)
  expect(calibration.inputOf(up, 0)).toBeUndefined()
  expect(calibration.notes.at(-1)).toContain('no error feedback')
  await calibration.close()
})

test('values of latent attention take the inputs of keys and values in one matrix', async () => {
  const path = await write('latent.gguf', { 'blk.1.attn_kv_b.weight': whole(3) })
  const [values, keys] = [tensor('blk.1.attn_v_b.weight', [4, 16, n]), tensor('blk.1.attn_k_b.weight', [4, n, 16])]
  const calibration = await openCalibration(path, { architecture: 'llama', tensors: [tensor(up, [2, 8, n]), values, keys] })
  expect(calibration.inputOf('blk.1.attn_v_b.weight', 3)).toBe('blk.1.attn_kv_b.weight')
  expect(calibration.inputOf('blk.1.attn_k_b.weight', 3)).toBeUndefined()
  await calibration.close()
})

test('files of another model and damaged ones are refused', async () => {
  const path = await write('other.gguf', { [gate]: whole(3), [expert]: whole(2, 4) })
  const other = [tensor(gate, [2, 8, n]), tensor(up, [2, 8, n]), tensor(expert, [3, 8, n])]
  await expect(openCalibration(path, { architecture: 'llama', tensors: other })).rejects.toMatchObject({
    code: 'IMPORTANCE_MISMATCH',
    details: { tensor: expert },
  })
  const infinite = await write('infinite.gguf', {
    [gate]: { ...whole(3), whole: new Float32Array((n * (n + 1)) / 2).fill(Infinity) },
  })
  await expect(openCalibration(infinite, model)).rejects.toMatchObject({ code: 'IMATRIX_INVALID' })
  const lists = await write('lists.gguf', { [gate]: whole(3) }, { inputOf: new Map([[up, 'blk.9.attn_q.weight']]) })
  await expect(openCalibration(lists, model)).rejects.toMatchObject({ code: 'IMATRIX_INVALID' })
  await truncate(path, (await readFile(path)).byteLength - 3000)
  await expect(openCalibration(path, model)).rejects.toMatchObject({ code: 'INPUT_TRUNCATED' })
  await writeFile(path, 'no matrix at all')
  await expect(openCalibration(path, model)).rejects.toMatchObject({
    code: expect.stringMatching(/IMATRIX_INVALID|INPUT_TRUNCATED/),
  })
})

describe.skipIf(!llama.available)(`mq imatrix --rank (${llama.name})`, () => {
  const text = samplePath('text/kjv-calibration.txt')

  test('covariances are those of a forward pass in double precision', async () => {
    const output = join(folder, 'llama.gguf')
    const options = { model: samplePath('llama-kjv'), text, chunks: 2, threads: 1 }
    const report = await finish(makeImatrix({ toGguf: asGguf, ...options, output }))
    expect(report).toMatchObject({ chunksLeftOut: 1 })
    expect(report.covariance.map(({ columns, form, inputs }) => [columns, form, inputs])).toEqual([
      [256, 'whole', 13],
      [768, 'whole', 4],
    ])
    const sketched = join(folder, 'llama-32.gguf')
    const again = await finish(makeImatrix({ toGguf: asGguf, ...options, output: sketched, rank: 32 }))
    expect(again.covariance.map(({ columns, rank }) => [columns, rank])).toEqual([
      [256, 32],
      [768, 32],
    ])
    // the second chunk is left out
    const known = await sampleCovariances('kjv-calibration', 1, 1)
    const blueprint = await makeBlueprint(samplePath('llama-kjv'))
    const [calibration, low] = [await openCalibration(output, blueprint), await openCalibration(sketched, blueprint)]
    const tensors = { attention: 'attn_q', heads: 'attn_output', mlp: 'ffn_up', inner: 'ffn_down' }
    for (const layer of [0]) {
      for (const [input, part] of Object.entries(tensors)) {
        const expected = known.get(`${layer}.${input}`) as Float64Array
        const name = `blk.${layer}.${part}.weight`
        const found = await covarianceOf(calibration, calibration.inputOf(name, 0) ?? expect.fail(name))
        if (!('full' in found)) expect.fail('not whole')
        const columns = Math.sqrt(expected.length)
        const [distance, size] = [found.full.map((value, i) => value - (expected[i] as number)), expected].map((values) =>
          Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0)),
        ) as [number, number]
        // llama.cpp multiplies numbers of 16 bits
        expect(distance / size, name).toBeLessThan(0.004)
        const sketch = await covarianceOf(low, low.inputOf(name, 0) ?? expect.fail(name))
        if ('full' in sketch) expect.fail('whole')
        expect(sketch.factors).toHaveLength(32 * columns)
        let [left, all] = [0, 0]
        for (let i = 0; i < columns; i += 1) {
          for (let j = 0; j < i; j += 1) {
            let value = found.full[i * columns + j] as number
            all += value ** 2
            for (let at = 0; at < 32 * columns; at += columns)
              value -= (sketch.factors?.[at + i] ?? 0) * (sketch.factors?.[at + j] ?? 0)
            left += value ** 2
          }
        }
        expect(left / all, name).toBeLessThan(0.2)
        expect(await calibration.heldOut(calibration.inputOf(name, 0) ?? '')).toHaveLength(128 * columns)
      }
    }
    expect(calibration.importance('output.weight')).toHaveLength(256)
    expect(statisticsText(await matrixStatistics(sketched))).toMatch(/blk\.0\.ffn_down\.weight +1 +768 +1 +rank 32/)
    await calibration.close()
    await low.close()
  })
})
