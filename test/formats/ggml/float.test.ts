import { describe, expect, test } from 'vitest'
import { openCodec } from '../../../formats/ggml/codec.js'
import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { oracle } from '../../support/ggml-oracle.js'
import { randomBits, sameBits } from '../../support/numbers.js'

const codec = await openCodec()

/** Values at which a rounding can go wrong: every power of two and its halves, quarters and neighbours, with both signs. */
function edges(): Float32Array {
  const bits: number[] = []
  for (let exponent = 0; exponent < 255; exponent++) {
    for (const fraction of [0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x3000, 0x7fff, 0x8000, 0x8001, 0x18000, 0x7fffff]) {
      const word = exponent * 2 ** 23 + fraction
      bits.push(word, word + 2 ** 31)
    }
  }
  bits.push(0x7f800000, 0xff800000) // infinities
  return new Float32Array(Uint32Array.from(bits).buffer)
}

describe.skipIf(!oracle.available)(`16-bit floats against ${oracle.name}`, () => {
  test.each(['F16', 'BF16'] as GgmlTypeName[])('%s rounds as ggml does', (type) => {
    for (const values of [edges(), randomBits(100_003, 7)]) {
      expect(sameBits(codec.quantize(type, values, values.length), oracle.quantize(type, values, values.length))).toBe(true)
    }
  })

  test.each(['F16', 'BF16'] as GgmlTypeName[])('%s: every pattern reads as in ggml, also the last of an odd number', (type) => {
    const every = new Uint8Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer)
    for (const bytes of [every, every.subarray(2), every.subarray(0, 6)]) {
      const values = codec.dequantize(type, bytes, bytes.length / 2)
      expect(sameBits(values, oracle.dequantize(type, bytes, bytes.length / 2))).toBe(true)
    }
  })

  test('Q8_0 has the bytes of ggml', () => {
    const random = randomBits(32 * 999, 3)
    const halves = Float32Array.from({ length: 256 }, (_, i) => (i % 32 === 0 ? 127 : (i - 128) / 2)) // ties
    const tiny = Float32Array.from({ length: 96 }, (_, i) => (i < 64 ? (i - 20) * 1e-39 : i * 1e-9))
    for (const values of [random, halves, tiny, new Float32Array(32)]) {
      const bytes = codec.quantize('Q8_0', values, 32)
      expect(sameBits(bytes, oracle.quantize('Q8_0', values, 32))).toBe(true)
      expect(sameBits(codec.dequantize('Q8_0', bytes, values.length), oracle.dequantize('Q8_0', bytes, values.length))).toBe(true)
    }
  })
})

test('NaN becomes a quiet NaN', () => {
  const values = new Float32Array(Uint32Array.of(0x7f800001, 0xff812345, 0x7fc00000).buffer)
  expect([...new Uint16Array(codec.quantize('BF16', values, 3).buffer)]).toEqual([0x7fc0, 0xffc1, 0x7fc0])
  for (const half of new Uint16Array(codec.quantize('F16', values, 3).buffer)) expect(half & 0x7e00).toBe(0x7e00)
})

test('figures of the IEEE standard', () => {
  const values = Float32Array.of(65504, 65519.996, 65520, 2 ** -24, 2 ** -25, 2 ** -25 * 1.0001, 1 + 2 ** -11, 1 + 3 * 2 ** -11)
  const halves = new Uint16Array(codec.quantize('F16', values, values.length).buffer)
  expect([...halves]).toEqual([0x7bff, 0x7bff, 0x7c00, 1, 0, 1, 0x3c00, 0x3c02])
})

describe('the first value that is not finite', () => {
  test('wherever it stands', () => {
    const values = randomBits(1000, 5)
    expect(codec.firstNonFinite(values)).toBe(-1)
    expect(codec.firstNonFinite(new Float32Array(0))).toBe(-1)
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      for (const at of [0, 1, 15, 16, 17, 500, 991, 992, 999]) {
        const spoilt = values.slice()
        spoilt[at] = bad
        spoilt[999] = bad
        expect(codec.firstNonFinite(spoilt)).toBe(at)
      }
    }
  })

  test('in a long array', () => {
    const values = new Float32Array((1 << 21) + 5)
    values[values.length - 1] = Number.NaN
    expect(codec.firstNonFinite(values)).toBe(values.length - 1)
  })
})

describe('the largest magnitude of what is quantized', () => {
  const largestOf = (values: Float32Array): number[] => {
    const seen: number[] = []
    codec.quantize('F32', values, values.length, undefined, 'default', undefined, (largest) => seen.push(largest))
    return seen
  }

  test('wherever it stands, whatever its sign', () => {
    const values = Float32Array.from({ length: 1000 }, (_, index) => Math.sin(index))
    for (const most of [-2.5, 2.5, 3e38, Number.NEGATIVE_INFINITY, Number.NaN]) {
      for (const at of [0, 1, 15, 16, 17, 31, 500, 991, 992, 999]) {
        const other = values.slice()
        other[at] = most
        expect(largestOf(other)).toEqual([Math.abs(Math.fround(most))])
      }
    }
    expect(largestOf(new Float32Array(5))).toEqual([0])
    expect(largestOf(Float32Array.of(-0, 2 ** -149, 0))).toEqual([2 ** -149])
  })

  test('of each part of what does not cross at once', () => {
    const rows = new Float32Array(2 ** 21)
    rows[3] = -7
    rows[rows.length - 1] = 9
    const seen: number[] = []
    codec.quantize('Q8_0', rows, 2 ** 10, undefined, 'default', undefined, (largest) => seen.push(largest))
    expect(seen).toEqual([7, 9])
  })
})
