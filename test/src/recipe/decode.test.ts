import { describe, expect, it } from 'vitest'
import type { Codec } from '../../../formats/ggml/codec.js'
import { evaluateRows, type PlainType, plain } from '../../../src/recipe/index.js'

const noCodec = {} as Codec

async function decode(dtype: PlainType, bytes: Uint8Array, count: number): Promise<number[]> {
  const range = { file: 0, start: 0, end: bytes.byteLength }
  return [...(await evaluateRows(plain(dtype, range, [count]), 0, 1, async () => bytes, noCodec))]
}

const codes16 = (...codes: number[]): Uint8Array => new Uint8Array(Uint16Array.from(codes).buffer)

describe('stored values', () => {
  it('E4M3 is as table 1 of "FP8 Formats for Deep Learning" says', async () => {
    const codes = Uint8Array.of(0x00, 0x80, 0x01, 0x07, 0x08, 0x38, 0xb8, 0x78, 0x7e, 0xfe, 0x7f, 0xff)
    const values = await decode('F8_E4M3', codes, codes.length)
    expect(values).toEqual([0, -0, 2 ** -9, 0.875 * 2 ** -6, 2 ** -6, 1, -1, 256, 448, -448, Number.NaN, Number.NaN])
  })

  it('E5M2 is as table 1 of "FP8 Formats for Deep Learning" says', async () => {
    const codes = Uint8Array.of(0x00, 0x80, 0x01, 0x03, 0x04, 0x3c, 0x7b, 0xfb, 0x7c, 0xfc, 0x7d)
    const values = await decode('F8_E5M2', codes, codes.length)
    const infinity = Number.POSITIVE_INFINITY
    expect(values).toEqual([0, -0, 2 ** -16, 0.75 * 2 ** -14, 2 ** -14, 1, 57344, -57344, infinity, -infinity, Number.NaN])
  })

  it('F16 is as IEEE 754 says', async () => {
    const values = await decode('F16', codes16(0x3c00, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x3555, 0xc000, 0xfc00), 8)
    expect(values).toEqual([1, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 65504, 0.333251953125, -2, Number.NEGATIVE_INFINITY])
  })

  it('BF16 is the upper half of an F32', async () => {
    const values = await decode('BF16', codes16(0x3f80, 0x4049, 0x0001, 0xff7f, 0x8000, 0x7f80), 6)
    expect(values).toEqual([1, 3.140625, 2 ** -133, -(2 ** 127) * (2 - 2 ** -7), -0, Number.POSITIVE_INFINITY])
  })

  it('wide numbers round to the nearest f32', async () => {
    expect(await decode('F64', new Uint8Array(Float64Array.of(0.1, 2 ** 24 + 1).buffer), 2)).toEqual([
      0.10000000149011612,
      2 ** 24,
    ])
    expect(await decode('I64', new Uint8Array(BigInt64Array.of(-3n, 2n ** 24n + 3n).buffer), 2)).toEqual([-3, 2 ** 24 + 4])
    expect(await decode('I32', new Uint8Array(Int32Array.of(-7, 2 ** 24 + 1).buffer), 2)).toEqual([-7, 2 ** 24])
  })

  it('small whole numbers are exact', async () => {
    expect(await decode('I16', new Uint8Array(Int16Array.of(-32768, 32767).buffer), 2)).toEqual([-32768, 32767])
    expect(await decode('I8', Uint8Array.of(0x80, 0x7f), 2)).toEqual([-128, 127])
    expect(await decode('U8', Uint8Array.of(0, 255), 2)).toEqual([0, 255])
    expect(await decode('BOOL', Uint8Array.of(0, 1), 2)).toEqual([0, 1])
  })

  it('may stand at any byte of a buffer', async () => {
    const padded = new Uint8Array([9, ...new Uint8Array(Float32Array.of(1.5, -2.25).buffer)])
    expect(await decode('F32', padded.subarray(1), 2)).toEqual([1.5, -2.25])
    const halves = new Uint8Array([9, ...codes16(0x3f80, 0xbf80)])
    expect(await decode('BF16', halves.subarray(1), 2)).toEqual([1, -1])
  })
})
