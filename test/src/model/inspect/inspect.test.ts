import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type MetadataValue, shardMetadata, shardName, writeGguf } from '../../../../formats/gguf/index.js'
import { inspectModel } from '../../../../src/model/inspect/index.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-inspect-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('a checkpoint: what config.json, the index and the headers say', async () => {
  const path = 'samples/deepseek-kjv-moe'
  const index = JSON.parse(await readFile(join(path, 'model.safetensors.index.json'), 'utf8')) as {
    metadata: { total_size: number }
    weight_map: Record<string, string>
  }
  const { tensors, types, ...rest } = await inspectModel(path)
  expect(rest).toMatchObject({
    format: 'safetensors',
    architecture: 'DeepseekV3ForCausalLM',
    metadata: { format: { type: 'string', value: 'pt' } },
    dataBytes: index.metadata.total_size,
  })
  expect(rest.files).toEqual(
    await Promise.all(
      ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'].map(async (name) => ({
        name,
        sizeBytes: (await stat(join(path, name))).size,
      })),
    ),
  )
  expect(Object.fromEntries(tensors.map(({ name, file }) => [name, file]))).toEqual(index.weight_map)
  expect(types.map(({ type }) => type)).toEqual(['F8_E4M3', 'BF16', 'F32'])
  expect(tensors.find(({ name }) => name === 'model.layers.0.self_attn.q_b_proj.weight')).toMatchObject({
    shape: [384, 256],
    type: 'F8_E4M3',
    sizeBytes: 98304,
    bitsPerWeight: 8,
  })
})

test('a single safetensors file', async () => {
  const inspection = await inspectModel('samples/llama-kjv/model.safetensors')
  expect(inspection).toMatchObject({ format: 'safetensors', bitsPerWeight: 16, files: [{ name: 'model.safetensors' }] })
  expect(inspection.architecture).toBeUndefined()
})

const metadata = new Map<string, MetadataValue>([
  ['general.architecture', { type: 'string', value: 'llama' }],
  ['temperature', { type: 'float32', value: Math.fround(0.95) }],
  ['epsilon', { type: 'float32', value: Math.fround(1e-6) }],
  ['infinite', { type: 'float64', value: Number.POSITIVE_INFINITY }],
  ['small', { type: 'uint64', value: 5n }],
  ['large', { type: 'uint64', value: 2n ** 63n }],
  ['list', { type: 'array', elementType: 'float32', value: Array.from({ length: 20 }, (_, index) => Math.fround(index / 10)) }],
  ['lists', { type: 'array', elementType: 'array', value: [{ type: 'array', elementType: 'int64', value: [1n] }] }],
])
const q8 = { name: 'blk.0.a.weight', dimensions: [64, 3], type: 'Q8_0', data: new Uint8Array(204) } as const
const f32 = { name: 'blk.0.b', dimensions: [64], type: 'F32', data: new Uint8Array(256) } as const

test('a split GGUF, from any of its shards', async () => {
  for (const [index, tensor] of [q8, f32].entries()) {
    await writeGguf(join(folder, shardName('m', index, 2)), shardMetadata(metadata, index, 2, 2), [tensor])
  }
  const inspection = await inspectModel(join(folder, shardName('m', 1, 2)))
  expect(inspection).toMatchObject({
    format: 'GGUF',
    container: 'version 3, little-endian',
    architecture: 'llama',
    metadata: {
      temperature: { type: 'float32', value: 0.95 },
      epsilon: { type: 'float32', value: 0.000001 },
      infinite: { type: 'float64', value: 'Infinity' },
      small: { type: 'uint64', value: 5 },
      large: { type: 'uint64', value: '9223372036854775808' },
      list: { type: 'float32[20]', value: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7] },
      lists: { type: 'array[1]', value: [[1]] },
    },
    elements: 256,
    dataBytes: 460,
    bitsPerWeight: 14.375,
    types: [
      { type: 'F32', tensors: 1, elements: 64, sizeBytes: 256, bitsPerWeight: 32 },
      { type: 'Q8_0', tensors: 1, elements: 192, sizeBytes: 204, bitsPerWeight: 8.5 },
    ],
    tensors: [
      { name: 'blk.0.a.weight', shape: [3, 64], file: 'm-00001-of-00002.gguf' },
      { name: 'blk.0.b', shape: [64], file: 'm-00002-of-00002.gguf' },
    ],
  })
  expect(Object.keys(inspection.metadata)).not.toContain('split.no')
  // as `--json` prints it: no value is lost or changed
  expect(JSON.parse(JSON.stringify(inspection))).toEqual(inspection)
})

test.each([
  ['a folder without weights', 'samples', { code: 'CHECKPOINT_EMPTY' }],
  ['a path that is not there', 'samples/none', { code: 'ENOENT' }],
  ['a file of another kind', 'package.json', { code: 'GGUF_INVALID' }],
])('%s is refused', async (_, path, error) => {
  await expect(inspectModel(path)).rejects.toMatchObject(error)
})
