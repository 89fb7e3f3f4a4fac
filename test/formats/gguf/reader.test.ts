import { describe, expect, test } from 'vitest'
import { type ByteSource, bufferSource } from '../../../formats/byte-source.js'
import { readGguf } from '../../../formats/gguf/index.js'
import { concat, ggufBytes } from '../../support/gguf-bytes.js'

const { u8, u32, u64, text, tensor, header } = ggufBytes()
const read = (...parts: Uint8Array[]) => readGguf(bufferSource(concat(parts), 'model.gguf'))
const key = (name: string, type: number, ...value: Uint8Array[]): Uint8Array => concat([text(name), u32(type), ...value])
const data = (length: number): Uint8Array => new Uint8Array(length)
const f32 = 0
const q8 = 8

describe('a file made by hand', () => {
  test.each([
    ['little', 2],
    ['little', 3],
    ['big', 3],
  ] as const)('is read in %s-endian, version %i', async (byteOrder, version) => {
    const at = ggufBytes(byteOrder)
    const header = at.header(
      [
        concat([at.text('general.architecture'), at.u32(8), at.text('llama')]),
        concat([at.text('pairs'), at.u32(9), at.u32(9), at.u64(2), at.u32(4), at.u64(1), at.u32(7), at.u32(6), at.u64(0)]),
        concat([at.text('x'), at.u32(6), at.f32(1.5)]),
      ],
      [at.tensor('a', [64, 3], q8, 32), at.tensor('b', [5], f32, 0)],
      { version },
    )
    expect(await readGguf(bufferSource(concat([header, data(32 + 204)])))).toEqual({
      version,
      byteOrder,
      metadata: new Map<string, unknown>([
        ['general.architecture', { type: 'string', value: 'llama' }],
        [
          'pairs',
          {
            type: 'array',
            elementType: 'array',
            value: [
              { type: 'array', elementType: 'uint32', value: [7] },
              { type: 'array', elementType: 'float32', value: [] },
            ],
          },
        ],
        ['x', { type: 'float32', value: 1.5 }],
      ]),
      tensors: [
        { name: 'a', dimensions: [64, 3], type: 'Q8_0', offset: 32, sizeBytes: 204 },
        { name: 'b', dimensions: [5], type: 'F32', offset: 0, sizeBytes: 20 },
      ],
      alignment: 32,
      dataOffset: header.byteLength,
    })
  })

  test('may hold no tensor, a scalar, an empty tensor, another alignment', async () => {
    expect(await read(header([], [], { alignment: 1 }))).toMatchObject({ tensors: [], metadata: new Map() })
    const alignment = key('general.alignment', 4, u32(8))
    const tensors = [tensor('empty', [32, 0], q8, 0), tensor('scalar', [], f32, 0), tensor('last', [1], f32, 8)]
    expect(await read(header([alignment], tensors, { alignment: 8 }), data(12))).toMatchObject({
      alignment: 8,
      tensors: [{ sizeBytes: 0 }, { sizeBytes: 4 }, { sizeBytes: 4 }],
    })
  })
})

const nested = (depth: number): Uint8Array =>
  concat([...Array.from({ length: depth }, () => [u32(9), u64(1)]).flat(), u32(0), u64(0)])
const two = (first: Uint8Array, second: Uint8Array): Uint8Array[] => [header([], [first, second]), data(256)]

describe('a bad file is refused', () => {
  test.each<[what: string, code: string, problem: string, parts: Uint8Array[]]>([
    ['another magic', 'GGUF_INVALID', 'it begins with "ggjt" instead of "GGUF"', [Buffer.from('ggjt'), data(32)]],
    ['version 0', 'GGUF_INVALID', 'its version is 0', [header([], [], { version: 0 })]],
    [
      'version 1',
      'GGUF_UNSUPPORTED',
      'its version is 1, which no program has written since 2023; versions 2 and 3 are read',
      [header([], [], { version: 1 })],
    ],
    ['version 4', 'GGUF_UNSUPPORTED', 'its version is 4; versions 2 and 3 are read', [header([], [], { version: 4 })]],
    [
      'a tensor count out of bounds',
      'GGUF_INVALID',
      'it claims 1152921504606846976 tensors, and at most 1048576 are allowed',
      [Buffer.from('GGUF'), u32(3), u64(2n ** 60n), u64(0)],
    ],
    [
      'a key count out of bounds',
      'GGUF_INVALID',
      'it claims 70000 metadata keys, and at most 65536 are allowed',
      [Buffer.from('GGUF'), u32(3), u64(0), u64(70000)],
    ],
    ['an unknown value type', 'GGUF_INVALID', 'the metadata "k" has the unknown type 13', [header([key('k', 13, u32(0))], [])]],
    [
      'an unknown element type',
      'GGUF_INVALID',
      'the metadata "k" has the unknown type 99',
      [header([key('k', 9, u32(99), u64(0))], [])],
    ],
    [
      'a bool that is neither',
      'GGUF_INVALID',
      'the metadata "k" holds 2 where only 0 and 1 are allowed',
      [header([key('k', 7, u8(2))], [])],
    ],
    [
      'a huge array',
      'GGUF_INVALID',
      'it claims 18446744073709551615 more values in arrays, and at most 8388608 are allowed',
      [header([key('k', 9, u32(0), u64(2n ** 64n - 1n))], [])],
    ],
    [
      'a huge text',
      'GGUF_INVALID',
      'it claims 18446744073709551615 bytes in a text, and at most 67108864 are allowed',
      [header([key('k', 8, u64(2n ** 64n - 1n))], [])],
    ],
    [
      'arrays in arrays without end',
      'GGUF_INVALID',
      'the metadata "k" nests arrays deeper than 8',
      [header([key('k', 9, nested(8))], [])],
    ],
    [
      'a key twice',
      'GGUF_INVALID',
      'the metadata key "k" appears in it twice',
      [header([key('k', 0, u8(1)), key('k', 0, u8(1))], [])],
    ],
    ['a key without a name', 'GGUF_INVALID', 'it has a metadata key without a name', [header([key('', 0, u8(1))], [])]],
    [
      'a name that is not UTF-8',
      'GGUF_INVALID',
      'a metadata key at byte 32 is not UTF-8',
      [header([concat([u64(2), Uint8Array.of(0xc0, 0x80), u32(0), u8(1)])], [])],
    ],
    [
      'an alignment that is no power of two',
      'GGUF_INVALID',
      'its general.alignment is 24, not a power of two (uint32)',
      [header([key('general.alignment', 4, u32(24))], [])],
    ],
    [
      'an alignment of another type',
      'GGUF_INVALID',
      'its general.alignment is 32, not a power of two (uint32)',
      [header([key('general.alignment', 10, u64(32))], [])],
    ],
    [
      'five dimensions',
      'GGUF_INVALID',
      'the tensor "a" has 5 dimensions, and at most 4 are allowed',
      [header([], [tensor('a', [1, 1, 1, 1, 1], f32, 0)]), data(32)],
    ],
    [
      'more elements than a number counts',
      'GGUF_INVALID',
      'the tensor "a" has the dimensions [4294967296,4294967296], more than can be counted',
      [header([], [tensor('a', [2n ** 32n, 2n ** 32n], f32, 0)]), data(32)],
    ],
    [
      'a huge dimension beside an empty one',
      'GGUF_INVALID',
      'the tensor "a" has the dimensions [9007199254740992,0], more than can be counted',
      [header([], [tensor('a', [2n ** 53n, 0], f32, 0)]), data(32)],
    ],
    [
      'rows that are not whole blocks',
      'GGUF_INVALID',
      'the tensor "a" has rows of 33 values, which are not whole blocks of Q8_0',
      [header([], [tensor('a', [33], q8, 0)]), data(64)],
    ],
    [
      'a tensor twice',
      'GGUF_INVALID',
      'the tensor "a" appears in it twice',
      two(tensor('a', [1], f32, 0), tensor('a', [1], f32, 32)),
    ],
    [
      'an offset off the alignment',
      'GGUF_INVALID',
      'the tensor "b" begins at 36, which is not a multiple of 32',
      two(tensor('a', [1], f32, 0), tensor('b', [1], f32, 36)),
    ],
    [
      'an offset beyond any file',
      'GGUF_INVALID',
      'the tensor "b" begins farther than any file reaches',
      two(tensor('a', [1], f32, 0), tensor('b', [1], f32, 2n ** 63n)),
    ],
    [
      'tensors that overlap',
      'GGUF_INVALID',
      'the tensor "a" overlaps the one before it',
      two(tensor('a', [1], f32, 32), tensor('b', [9], f32, 0)),
    ],
  ])('%s', async (_, code, problem, parts) => {
    await expect(read(...parts)).rejects.toMatchObject({ code, details: { file: 'model.gguf', problem } })
  })

  test.each([4, 5, 31, 33, 36, 37, 38])('a type that ggml has removed or does not know: %i', async (id) => {
    await expect(read(header([], [tensor('a', [256], id, 0)]), data(1024))).rejects.toMatchObject({
      code: 'GGML_TYPE_UNKNOWN',
      details: { type: id, where: 'this version (the tensor "a" of model.gguf)' },
    })
  })

  test('at whatever byte it ends early', async () => {
    const whole = concat([header([key('k', 8, text('v'))], [tensor('a', [8], f32, 0)]), data(32)])
    expect(await readGguf(bufferSource(whole))).toMatchObject({ tensors: [{ name: 'a' }] })
    for (let length = 0; length < whole.byteLength; length++) {
      await expect(readGguf(bufferSource(whole.subarray(0, length)))).rejects.toMatchObject({ code: 'INPUT_TRUNCATED' })
    }
  })

  test('without fetching or making what it claims to hold', async () => {
    const front = concat([Buffer.from('GGUF'), u32(3), u64(0), u64(1), text('k'), u32(9), u32(0), u64(2n ** 40n)])
    const fetched: number[] = []
    const vast: ByteSource = {
      name: 'vast.gguf',
      byteLength: 2 ** 45,
      async slice(start, end) {
        fetched.push(end - start)
        return concat([front.subarray(start), data(end - Math.max(start, front.byteLength))])
      },
      async close() {},
    }
    await expect(readGguf(vast)).rejects.toMatchObject({ code: 'GGUF_INVALID' })
    expect(fetched).toEqual([2 ** 20])
  })
})

test('only the front of a file is fetched, in few pieces', async () => {
  const tokens = Array.from({ length: 300_000 }, (_, index) => text(`token ${index}`))
  const front = header(
    [concat([text('tokens'), u32(9), u32(8), u64(tokens.length), ...tokens])],
    [tensor('a', [2 ** 28], f32, 0)],
  )
  const ranges: [number, number][] = []
  const source: ByteSource = {
    name: 'large.gguf',
    byteLength: front.byteLength + 2 ** 30,
    async slice(start, end) {
      ranges.push([start, end])
      return concat([front.subarray(start, end), data(end - Math.max(start, Math.min(end, front.byteLength)))])
    },
    async close() {},
  }
  const { metadata, dataOffset } = await readGguf(source)
  expect(dataOffset).toBe(front.byteLength)
  expect(metadata.get('tokens')?.value).toHaveLength(300_000)
  expect(ranges.map(([start], index) => start === (ranges[index - 1]?.[1] ?? 0))).not.toContain(false)
  expect(ranges.length).toBeLessThan(6)
  expect(ranges.at(-1)?.[1]).toBeLessThan(2 * front.byteLength)
})
