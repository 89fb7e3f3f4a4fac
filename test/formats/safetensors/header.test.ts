import { describe, expect, test } from 'vitest'
import { type ByteSource, bufferSource, fileSource } from '../../../formats/byte-source.js'
import { readSafetensorsHeader } from '../../../formats/safetensors/index.js'
import { safetensorsBytes } from '../../support/safetensors-bytes.js'

const read = (header: unknown, dataBytes = 0) =>
  readSafetensorsHeader(bufferSource(safetensorsBytes(header, dataBytes), 'model.safetensors'))
const tensor = (dtype: string, shape: unknown, from: unknown, to: unknown) => ({ dtype, shape, data_offsets: [from, to] })

describe('a valid file', () => {
  test('gives tensors in the order of their bytes, at absolute offsets', async () => {
    const header = { b: tensor('F32', [2, 3], 2, 26), 1: tensor('BF16', [], 0, 2), e: tensor('U8', [0, 7], 26, 26) }
    const dataStart = 8 + JSON.stringify(header).length
    const { tensors, metadata } = await read(header, 26)
    expect([...tensors]).toEqual([
      ['1', { dtype: 'BF16', shape: [], start: dataStart, end: dataStart + 2 }],
      ['b', { dtype: 'F32', shape: [2, 3], start: dataStart + 2, end: dataStart + 26 }],
      ['e', { dtype: 'U8', shape: [0, 7], start: dataStart + 26, end: dataStart + 26 }],
    ])
    expect(metadata).toEqual(new Map())
  })

  // Bits of an element as the reference implementation counts them (Dtype::bitsize of safetensors 0.8).
  test.each(
    Object.entries({
      4: 'F4',
      6: 'F6_E2M3 F6_E3M2',
      8: 'BOOL U8 I8 F8_E4M3 F8_E5M2 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ',
      16: 'I16 U16 F16 BF16',
      32: 'I32 U32 F32',
      64: 'I64 U64 F64 C64',
    }).flatMap(([bits, dtypes]) => dtypes.split(' ').map((dtype) => [dtype, Number(bits)] as const)),
  )('may hold %s', async (dtype, bits) => {
    const { tensors } = await read({ a: tensor(dtype, [8], 0, bits) }, bits)
    expect(tensors.get('a')).toMatchObject({ dtype, shape: [8] })
  })

  test('may carry metadata, spaces at the end of its header, names that mean something to JavaScript', async () => {
    const json = `{"__metadata__":{"format":"pt","__proto__":"x"},"__proto__":${JSON.stringify(tensor('U8', [1], 0, 1))}}   `
    const { tensors, metadata } = await read(json, 1)
    expect([...tensors.keys()]).toEqual(['__proto__'])
    expect([...metadata]).toEqual([
      ['format', 'pt'],
      ['__proto__', 'x'],
    ])
  })

  test('is what the samples are', async () => {
    const source = await fileSource('samples/llama-kjv/model.safetensors')
    const { tensors, metadata } = await readSafetensorsHeader(source)
    await source.close()
    expect(metadata).toEqual(new Map([['format', 'pt']]))
    expect(tensors.get('lm_head.weight')).toEqual({ dtype: 'BF16', shape: [2048, 256], start: 4184, end: 1052760 })
    expect(tensors.size).toBe(39)
  })
})

const u8 = tensor('U8', [1], 0, 1)
const twice = `{"a":${JSON.stringify(u8)},"\\u0061":${JSON.stringify(u8)}}`

describe('a bad file is refused', () => {
  test.each<[what: string, problem: string, header: unknown, dataBytes?: number]>([
    ['no JSON', 'its JSON cannot be parsed', '{"a":}'],
    ['a list', 'its header does not begin with {', '[]'],
    ['a byte order mark', 'its header does not begin with {', '\ufeff{}'],
    ['spaces first', 'its header does not begin with {', ' {}'],
    ['text after the object', 'its JSON cannot be parsed', '{}{}'],
    ['nesting without end', 'its JSON nests deeper than 3', `{"a":${'['.repeat(1000000)}`],
    ['an empty header', 'its header does not begin with {', ''],
    ['a name twice, written differently', 'the name "a" appears in it twice', twice, 1],
    [
      'a field twice',
      'the name "dtype" appears in it twice',
      '{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}',
      1,
    ],
    ['a tensor that is a number', 'the tensor "a" is not described by an object', { a: 1 }],
    ['a tensor that is a list', 'the tensor "a" is not described by an object', { a: [] }],
    ['an unknown element type', 'the tensor "a" has the unknown element type "F128"', { a: tensor('F128', [1], 0, 16) }, 16],
    [
      'an inherited name as type',
      'the tensor "a" has the unknown element type "toString"',
      { a: tensor('toString', [1], 0, 1) },
      1,
    ],
    ['no type', 'the tensor "a" has the unknown element type nothing', { a: { shape: [1], data_offsets: [0, 1] } }, 1],
    [
      'a negative dimension',
      'the tensor "a" has a shape that is not a list of whole numbers',
      { a: tensor('U8', [-1], 0, 1) },
      1,
    ],
    ['half a dimension', 'the tensor "a" has a shape that is not a list of whole numbers', { a: tensor('U8', [0.5], 0, 1) }, 1],
    [
      'a dimension in text',
      'the tensor "a" has a shape that is not a list of whole numbers',
      { a: tensor('U8', ['1'], 0, 1) },
      1,
    ],
    [
      'a dimension beyond 2^53',
      'the tensor "a" has a shape that is not a list of whole numbers',
      { a: tensor('U8', [2 ** 53], 0, 1) },
      1,
    ],
    [
      'more elements than a number counts',
      'the tensor "a" has the shape [134217728,134217728], which is not a whole number of bytes of U8',
      { a: tensor('U8', [2 ** 27, 2 ** 27], 0, 1) },
      1,
    ],
    [
      'half a byte',
      'the tensor "a" has the shape [3], which is not a whole number of bytes of F4',
      { a: tensor('F4', [3], 0, 2) },
      2,
    ],
    ['one offset', 'the tensor "a" has data_offsets that are not two whole numbers', { a: { ...u8, data_offsets: [0] } }, 1],
    ['offsets in text', 'the tensor "a" has data_offsets that are not two whole numbers', { a: tensor('U8', [1], '0', '1') }, 1],
    [
      'offsets backwards',
      'the tensor "a" spans bytes 1 to 0 where its shape [1] of U8 needs 1 bytes',
      { a: tensor('U8', [1], 1, 0) },
      1,
    ],
    [
      'fewer bytes than the shape needs',
      'the tensor "a" spans bytes 0 to 4 where its shape [2] of F32 needs 8 bytes',
      { a: tensor('F32', [2], 0, 4) },
      4,
    ],
    ['a gap in front', '4 bytes before the tensor "a" belong to no tensor', { a: tensor('F32', [1], 4, 8) }, 8],
    [
      'a gap between',
      '1 bytes before the tensor "b" belong to no tensor',
      { a: tensor('U8', [1], 0, 1), b: tensor('U8', [1], 2, 3) },
      3,
    ],
    ['an overlap', 'the tensor "b" overlaps the one before it', { a: tensor('U8', [2], 0, 2), b: tensor('U8', [2], 1, 3) }, 3],
    [
      'the same bytes twice',
      'the tensor "b" overlaps the one before it',
      { a: tensor('U8', [2], 0, 2), b: tensor('U8', [2], 0, 2) },
      2,
    ],
    ['bytes at the end', '3 bytes at its end belong to no tensor', { a: tensor('U8', [1], 0, 1) }, 4],
    ['metadata that is text', 'its __metadata__ is not an object', { __metadata__: 'pt' }],
    ['metadata that holds numbers', 'its __metadata__ holds something other than text under "n"', { __metadata__: { n: 1 } }],
  ])('%s', async (_, problem, header, dataBytes) => {
    await expect(read(header, dataBytes)).rejects.toMatchObject({
      code: 'SAFETENSORS_INVALID',
      details: { file: 'model.safetensors', problem },
    })
  })

  test('bytes that are not UTF-8', async () => {
    const bytes = safetensorsBytes('{"a ":1}')
    bytes[11] = 0xff
    await expect(readSafetensorsHeader(bufferSource(bytes))).rejects.toMatchObject({
      details: { problem: 'its JSON is not UTF-8' },
    })
  })

  test('at whatever byte it ends early', async () => {
    const whole = safetensorsBytes({ a: tensor('F32', [2], 0, 8) }, 8)
    for (let length = 0; length < whole.byteLength; length++) {
      await expect(readSafetensorsHeader(bufferSource(whole.subarray(0, length)))).rejects.toMatchObject({
        code: 'INPUT_TRUNCATED',
      })
    }
  })

  test('without fetching the header that it claims', async () => {
    const fetched: number[] = []
    const vast: ByteSource = {
      name: 'vast',
      byteLength: 2 ** 50,
      async slice(start, end) {
        fetched.push(end - start)
        return new Uint8Array(end - start).fill(0x10)
      },
      async close() {},
    }
    await expect(readSafetensorsHeader(vast)).rejects.toMatchObject({
      details: { problem: 'its header claims 1157442765409226768 bytes, and at most 100000000 are allowed' },
    })
    expect(fetched).toEqual([8])
  })
})
