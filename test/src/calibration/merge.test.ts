import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeImportanceMatrix } from '../../../formats/imatrix/index.js'
import { matrixStatistics, mergeMatrices, statisticsText } from '../../../src/calibration/index.js'
import { readMatrix } from '../../../src/calibration/read-matrix.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-imatrix-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const experts = 'blk.1.ffn_up_exps.weight'
const dense = 'blk.0.ffn_up.weight'

async function write(name: string, entries: Record<string, { sums: number[]; counts: number[] }>, chunks = 1): Promise<string> {
  const path = join(folder, name)
  await writeImportanceMatrix(path, {
    entries: new Map(
      Object.entries(entries).map(([tensor, { sums, counts }]) => [tensor, { sums: Float32Array.from(sums), counts }]),
    ),
    datasets: [`${name}.txt`],
    chunks,
    chunkLength: 512,
  })
  return path
}

/** The old form: one entry of one call. */
async function writeLegacy(name: string, tensor: string, calls: number, values: number[]): Promise<string> {
  const i32 = (value: number) => Buffer.from(Int32Array.of(value).buffer)
  const parts = [i32(1), i32(tensor.length), Buffer.from(tensor), i32(calls), i32(values.length)]
  parts.push(Buffer.from(Float32Array.from(values).buffer), i32(calls), i32(3), Buffer.from('old'))
  await writeFile(join(folder, name), Buffer.concat(parts))
  return join(folder, name)
}

test('sums and counts add up, expert by expert, and weights that one file lacks stay', async () => {
  const a = await write(
    'a.gguf',
    { [experts]: { sums: [2, 4, 0, 0], counts: [2, 0] }, [dense]: { sums: [1, 1], counts: [4] } },
    3,
  )
  const b = await write('b.gguf', { [experts]: { sums: [4, 8, 5, 10], counts: [1, 5] } }, 2)
  const output = join(folder, 'ab.gguf')
  const report = await mergeMatrices([a, b], output)
  expect(report).toEqual({
    output,
    files: [a, b],
    tensors: 2,
    chunks: 5,
    datasets: ['a.gguf.txt', 'b.gguf.txt'],
    inputs: 0,
    withoutCovariance: 2,
  })
  const { entries } = await readMatrix(output)
  expect(entries.get(experts)).toEqual({ meanSquares: Float32Array.of(2, 4, 1, 2), counts: [3, 5] })
  expect(entries.get(dense)).toEqual({ meanSquares: Float32Array.of(0.25, 0.25), counts: [4] })
})

test('a file in the old form weighs as much as its chunks of 512 tokens', async () => {
  const modern = await write('modern.gguf', { [dense]: { sums: [512, 1024], counts: [512] } })
  // mean of x^2 times 3 calls
  const old = await writeLegacy('old.dat', dense, 3, [15, 30])
  const output = join(folder, 'both.gguf')
  expect(await mergeMatrices([modern, old], output)).toMatchObject({ chunks: 4 })
  const { entries } = await readMatrix(output)
  expect(entries.get(dense)).toEqual({ meanSquares: Float32Array.of(4, 8), counts: [2048] })
})

test('files of two models are refused, and so is a file that is there', async () => {
  const a = await write('one.gguf', { [dense]: { sums: [1, 1], counts: [4] } })
  const b = await write('other.gguf', { [dense]: { sums: [1, 1, 1], counts: [4] } })
  await expect(mergeMatrices([a, b], join(folder, 'none.gguf'))).rejects.toMatchObject({
    code: 'IMPORTANCE_MISMATCH',
    details: { tensor: dense },
  })
  await expect(mergeMatrices([a, a], b)).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' })
})

test('statistics tell experts that saw little, and how uneven columns are', async () => {
  const file = await write('show.gguf', {
    [experts]: { sums: [4, 4, 0, 0], counts: [4, 0] },
    [dense]: { sums: [8, 0, 0, 0], counts: [2] },
  })
  const statistics = await matrixStatistics(file)
  expect(statistics).toMatchObject({ chunks: 1, chunkLength: 512, datasets: ['show.gguf.txt'] })
  expect(statistics.weights).toEqual([
    { tensor: dense, columns: 4, matrices: 1, tokens: 2, leastTokens: 2, unseen: 0, mean: 1, peak: 4, evenness: 0.25 },
    { tensor: experts, columns: 2, matrices: 2, tokens: 4, leastTokens: 0, unseen: 1, mean: 1, peak: 1, evenness: 1 },
  ])
  expect(statisticsText(statistics)).toContain('2 tensors on show.gguf.txt, 1 chunks of 512 tokens.')
})
