import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fileSource } from '../../../formats/byte-source.js'
import { openGguf } from '../../../formats/gguf/index.js'
import { readImportanceMatrix, writeImportanceMatrix } from '../../../formats/imatrix/index.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-imatrix-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('sums and counts stand in the GGUF form, in the order of names', async () => {
  const path = join(folder, 'imatrix.gguf')
  const entries = new Map([
    ['blk.1.ffn_up_exps.weight', { sums: Float32Array.of(2, 4, 0, 0, 9, 3), counts: [2, 0, 3] }],
    // two heads, of which each has seen every token
    ['blk.0.attn_v_b.weight', { sums: Float32Array.of(5, 10, 15, 20), counts: [5] }],
  ])
  await writeImportanceMatrix(path, { entries, datasets: ['a.txt', 'b.txt'], chunks: 3, chunkLength: 512 })

  const file = await openGguf(path)
  await file.close()
  expect([...file.metadata]).toEqual([
    ['general.type', { type: 'string', value: 'imatrix' }],
    ['imatrix.datasets', { type: 'array', elementType: 'string', value: ['a.txt', 'b.txt'] }],
    ['imatrix.chunk_count', { type: 'uint32', value: 3 }],
    ['imatrix.chunk_size', { type: 'uint32', value: 512 }],
  ])
  expect(file.tensors.map(({ name, dimensions, type }) => [name, dimensions, type])).toEqual([
    ['blk.0.attn_v_b.weight.in_sum2', [4, 1], 'F32'],
    ['blk.0.attn_v_b.weight.counts', [1, 1], 'F32'],
    ['blk.1.ffn_up_exps.weight.in_sum2', [2, 3], 'F32'],
    ['blk.1.ffn_up_exps.weight.counts', [1, 3], 'F32'],
  ])

  const source = await fileSource(path)
  const read = await readImportanceMatrix(source)
  await source.close()
  expect(read.datasets).toEqual(['a.txt', 'b.txt'])
  expect(read.entries.get('blk.0.attn_v_b.weight')).toEqual({ meanSquares: Float32Array.of(1, 2, 3, 4), counts: [5] })
  expect(read.entries.get('blk.1.ffn_up_exps.weight')?.counts).toEqual([2, 0, 3])
})
