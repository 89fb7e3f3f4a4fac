import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GGMLQuantizationType, GGUFValueType, gguf } from '@huggingface/gguf'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bufferSource } from '../../../formats/byte-source.js'
import { ggmlTypes } from '../../../formats/ggml/types.js'
import { layoutGguf, type MetadataValue, metadataTypeIds, readGguf, writeGguf } from '../../../formats/gguf/index.js'
import { concat } from '../../support/gguf-bytes.js'
import { metadata } from './arbitrary.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-gguf-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const tensor = fc.record({
  name: fc.string({ minLength: 1, maxLength: 15, unit: 'binary' }),
  type: fc.constantFrom(...ggmlTypes.map(({ name }) => name)),
  dimensions: fc.tuple(fc.constantFrom(0, 256, 512), fc.nat(3)),
})
const tensors = fc.uniqueArray(tensor, { maxLength: 5, selector: ({ name }) => name })

test('what is laid out is read back, whatever it is', async () => {
  await fc.assert(
    fc.asyncProperty(metadata, tensors, fc.constantFrom(32, 64, 4096), async (metadata, tensors, alignment) => {
      const layout = layoutGguf(metadata, tensors, { alignment })
      const read = await readGguf(bufferSource(concat([layout.header, new Uint8Array(layout.dataBytes)])))
      const { 'general.alignment': _, ...rest } = Object.fromEntries(read.metadata)
      expect(rest).toEqual(Object.fromEntries(metadata))
      expect([...read.metadata.keys()].slice(0, metadata.size)).toEqual([...metadata.keys()])
      expect(read.tensors).toEqual(layout.tensors)
      expect(read).toMatchObject({ version: 3, byteOrder: 'little', alignment, dataOffset: layout.dataOffset })
    }),
    { numRuns: 300 },
  )
})

const everything = new Map<string, MetadataValue>([
  ['general.architecture', { type: 'string', value: 'llama' }],
  ['u8', { type: 'uint8', value: 255 }],
  ['i8', { type: 'int8', value: -128 }],
  ['u16', { type: 'uint16', value: 65535 }],
  ['i16', { type: 'int16', value: -32768 }],
  ['u32', { type: 'uint32', value: 4294967295 }],
  ['i32', { type: 'int32', value: -2147483648 }],
  ['f32', { type: 'float32', value: Math.fround(0.1) }],
  ['bool', { type: 'bool', value: false }],
  ['text', { type: 'string', value: '🦙 and é' }],
  ['nothing', { type: 'string', value: '' }],
  ['u64', { type: 'uint64', value: 2n ** 64n - 1n }],
  ['i64', { type: 'int64', value: -(2n ** 63n) }],
  ['f64', { type: 'float64', value: Math.PI }],
  ['texts', { type: 'array', elementType: 'string', value: ['', '🦙'] }],
])

test('an independent reader reads what we write', async () => {
  const path = join(folder, 'ours.gguf')
  const inputs = [
    { name: 'token_embd.weight', dimensions: [256, 3], type: 'Q4_K', data: new Uint8Array(432) },
    { name: 'output_norm.weight', dimensions: [5], type: 'F32', data: new Uint8Array(20) },
    { name: 'blk.0.ffn_up_exps.weight', dimensions: [32, 2, 2], type: 'Q8_0', data: new Uint8Array(136) },
  ] as const
  const layout = await writeGguf(path, everything, inputs)
  const read = await gguf(path, { allowLocalFile: true, typedMetadata: true })
  const { version, tensor_count: _, kv_count: count, ...entries } = read.typedMetadata
  expect([version.value, count.value]).toEqual([3, 15n])
  const shown = [...everything].map(([key, { type, value }]) => [
    key,
    { type: metadataTypeIds[type], value, ...(type === 'array' ? { subType: GGUFValueType.STRING } : {}) },
  ])
  expect(entries).toEqual(Object.fromEntries(shown))
  expect(read.tensorInfos.map(({ name, shape, dtype }) => [name, shape.map(Number), GGMLQuantizationType[dtype]])).toEqual(
    inputs.map(({ name, dimensions, type }) => [name, dimensions, type]),
  )
  // 432 bytes padded to 448, 20 to 32.
  expect(read.tensorInfos.map(({ offset }) => offset)).toEqual([0n, 448n, 480n])
  expect(Number(read.tensorDataOffset)).toBe(layout.dataOffset)
})
