import { expect, test } from 'vitest'
import { layoutGguf, type MetadataValue } from '../../../formats/gguf/index.js'
import { concat, ggufBytes } from '../../support/gguf-bytes.js'

test('the bytes are those of the specification', () => {
  const { u8, u32, u64, f32, text, tensor, header } = ggufBytes()
  const layout = layoutGguf(
    new Map<string, MetadataValue>([
      ['general.architecture', { type: 'string', value: 'llama' }],
      ['x', { type: 'float32', value: 0.1 }],
      ['flags', { type: 'array', elementType: 'bool', value: [true, false] }],
    ]),
    [
      { name: 'a', dimensions: [32, 3], type: 'Q8_0' },
      { name: 'b', dimensions: [1], type: 'F32' },
    ],
  )
  expect(Buffer.from(layout.header)).toEqual(
    Buffer.from(
      header(
        [
          concat([text('general.architecture'), u32(8), text('llama')]),
          concat([text('x'), u32(6), f32(0.1)]),
          concat([text('flags'), u32(9), u32(7), u64(2), u8(1), u8(0)]),
        ],
        [tensor('a', [32, 3], 8, 0), tensor('b', [1], 0, 128)],
      ),
    ),
  )
  // 3 rows of one 34-byte block are 102 bytes, padded to 128; the last tensor's 4 bytes are padded to 32.
  expect(layout).toMatchObject({ alignment: 32, dataBytes: 160, fileBytes: layout.header.byteLength + 160 })
  expect(layout.tensors.map(({ offset, sizeBytes }) => [offset, sizeBytes])).toEqual([
    [0, 102],
    [128, 4],
  ])
})

test('sizes are exact far beyond 32 bits', () => {
  const huge = { name: 'a', dimensions: [2 ** 20, 2 ** 21 + 1], type: 'Q8_0' } as const
  const { tensors, dataBytes } = layoutGguf(new Map(), [huge, { ...huge, name: 'b' }])
  // (2^41 + 2^20) / 32 blocks of 34 bytes = 34 * (2^36 + 2^15)
  expect(tensors.map(({ offset, sizeBytes }) => [offset, sizeBytes])).toEqual([
    [0, 2336463323136],
    [2336463323136, 2336463323136],
  ])
  expect(dataBytes).toBe(4672926646272)
})

test('an alignment other than 32 stands in the metadata', () => {
  const { u32, text, header } = ggufBytes()
  const { header: bytes } = layoutGguf(new Map(), [], { alignment: 64 })
  expect(Buffer.from(bytes)).toEqual(
    Buffer.from(header([concat([text('general.alignment'), u32(4), u32(64)])], [], { alignment: 64 })),
  )
})

test.each<[what: string, problem: string, value: MetadataValue]>([
  ['256 in 8 bits', 'holds 256, which is no uint8', { type: 'uint8', value: 256 }],
  ['a negative count', 'holds -1, which is no uint32', { type: 'uint32', value: -1 }],
  ['a fraction', 'holds 1.5, which is no int32', { type: 'int32', value: 1.5 }],
  ['2^64', 'holds 18446744073709551616, which is no uint64', { type: 'uint64', value: 2n ** 64n }],
  ['a number for a bigint', 'holds 5, which is no int64', { type: 'int64', value: 5 } as unknown as MetadataValue],
  ['a text in a list of numbers', 'holds "1", which is no float32', { type: 'array', elementType: 'float32', value: ['1'] }],
])('metadata that its type cannot hold is refused: %s', (_, problem, value) => {
  expect(() => layoutGguf(new Map([['k', value]]), [])).toThrow(
    expect.objectContaining({
      code: 'GGUF_INVALID',
      details: { file: 'The file to be written', problem: `the metadata "k" ${problem}` },
    }),
  )
})

const shape = { name: 'a', dimensions: [32], type: 'Q8_0' } as const

test.each([
  ['a name twice', 'the tensor "a" is given twice', [shape, shape]],
  [
    'a name that ggml cuts off',
    `the tensor name "${'é'.repeat(32)}" is longer than 63 bytes`,
    [{ ...shape, name: 'é'.repeat(32) }],
  ],
  ['five dimensions', 'the tensor "a" cannot have the dimensions [32,1,1,1,1]', [{ ...shape, dimensions: [32, 1, 1, 1, 1] }]],
  ['half a row', 'the tensor "a" cannot have the dimensions [32,0.5]', [{ ...shape, dimensions: [32, 0.5] }]],
])('tensors that the format cannot hold are refused: %s', (_, problem, tensors) => {
  expect(() => layoutGguf(new Map(), tensors)).toThrow(
    expect.objectContaining({ code: 'GGUF_INVALID', details: { file: 'The file to be written', problem } }),
  )
})

test('rows that are not whole blocks are refused', () => {
  expect(() => layoutGguf(new Map(), [{ ...shape, dimensions: [48, 2] }])).toThrow(
    expect.objectContaining({ code: 'GGML_ROW_MISALIGNED', details: { type: 'Q8_0', rowLength: 48, blockSize: 32 } }),
  )
})
