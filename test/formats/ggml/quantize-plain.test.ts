import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openCodec } from '../../../formats/ggml/codec.js'
import { type GgmlTypeName, ggmlType } from '../../../formats/ggml/types.js'
import { oracle } from '../../support/ggml-oracle.js'
import { gaussian, integers, randomBits, sameBits, studentT4 } from '../../support/numbers.js'

const codec = await openCodec()
const types: GgmlTypeName[] = ['Q8_0', 'MXFP4', 'NVFP4', 'Q1_0']

/** Types whose scales have less error than ggml's, but for what is ternary already. */
const searched: readonly GgmlTypeName[] = ['TQ1_0', 'TQ2_0', 'Q2_0']

/** Values for which the bytes are defined: an f32 scale that is neither subnormal nor beyond what the type can hold. */
const data: Record<string, Float32Array> = {
  gaussian: gaussian(256 * 40, 1),
  'heavy-tailed': studentT4(256 * 40, 2).map((x) => x * 0.02),
  'ternary, with zeros of both signs': Float32Array.from(
    { length: 2560 },
    (_, i) => [0, 0.75, -0.75, -0][(i * 7 + (i >> 5)) % 4] ?? 0,
  ),
  'halves of steps': Float32Array.from({ length: 2560 }, (_, i) => (i % 16 === 0 ? 12 : ((i * 5) % 49) / 2 - 12)),
  'many sizes': randomBits(2560, 5).map((x, i) => (Math.abs(x) < 1e3 && Math.abs(x) > 1e-30 ? x : (i % 9) * 1e-3)),
  zeros: new Float32Array(256),
}

describe.skipIf(!oracle.available).each(types)(`%s has the bytes of ${oracle.name}`, (type) => {
  test.each(Object.entries(data))('%s', (_, values) => {
    const ours = codec.quantize(type, values, 256)
    expect(sameBits(ours, oracle.quantize(type, values, 256))).toBe(true)
    const importance = new Float32Array(256).fill(3)
    expect(sameBits(codec.quantize(type, values, 256, importance), ours)).toBe(true)
  })

  test('any values of ordinary size', () => {
    const size = fc.integer({ min: -20, max: 8 })
    fc.assert(
      fc.property(fc.nat(), size, (seed, exponent) => {
        const next = integers(seed)
        const values = Float32Array.from({ length: 512 }, () => ((next() >>> 20) - 2048) * 2 ** (exponent - 11))
        expect(sameBits(codec.quantize(type, values, 256), oracle.quantize(type, values, 256))).toBe(true)
      }),
    )
  })
})

describe.each([...searched, 'Q1_0'] as const)('%s with a searched scale', (type) => {
  const columns = 512
  const importance = gaussian(columns, 4).map((x) => Math.exp(x))
  const uniform = new Float32Array(columns).fill(1)
  const trits = type === 'Q1_0' ? [0.75, -0.75] : [0, 0.75, -0.75]
  const ternary = Float32Array.from({ length: columns * 8 }, (_, i) => trits[(i * 7 + (i >> 5)) % trits.length] as number)
  const errorOf = (values: Float32Array, bytes: Uint8Array, weights: Float32Array): number => {
    const back = codec.dequantize(type, bytes, values.length)
    return values.reduce((sum, x, i) => sum + (weights[i % columns] as number) * (x - (back[i] as number)) ** 2, 0)
  }

  test.skipIf(!oracle.available).each([
    ['gaussian', gaussian(columns * 20, 1)],
    ['heavy-tailed', studentT4(columns * 20, 2)],
  ])(`has less error than ${oracle.name}: %s`, (_, values) => {
    const theirs = oracle.quantize(type, values, columns)
    // The mean magnitude is the best scale for signs; the largest value is a poor one for three codes.
    const [most, maxWeighted] = type === 'Q1_0' ? [1, 0.995] : [0.5, 0.5]
    const ours = errorOf(values, codec.quantize(type, values, columns), uniform)
    expect(ours / errorOf(values, theirs, uniform)).toBeLessThanOrEqual(most)
    const weighted = errorOf(values, codec.quantize(type, values, columns, importance), importance)
    expect(weighted / errorOf(values, theirs, importance)).toBeLessThan(maxWeighted)
    expect(weighted).toBeLessThan(errorOf(values, codec.quantize(type, values, columns), importance))
  })

  test.skipIf(!oracle.available)('stores what is ternary already, or has one magnitude, in the bytes of ggml', () => {
    const theirs = oracle.quantize(type, ternary, columns)
    expect(sameBits(codec.quantize(type, ternary, columns), theirs)).toBe(true)
    expect(sameBits(codec.quantize(type, ternary, columns, importance), theirs)).toBe(true)
    expect(codec.dequantize(type, theirs, ternary.length)).toEqual(ternary)
  })

  test('has zeros for zeros', () => {
    const zeros = new Float32Array(columns)
    expect(codec.dequantize(type, codec.quantize(type, zeros, columns, importance), columns).every((x) => x === 0)).toBe(true)
  })
})

test.skipIf(!oracle.available)('more values than cross in one call, also in a single row', () => {
  const values = randomBits((1 << 21) + 96, 8)
  for (const rowLength of [32, 96 * 7, values.length]) {
    const whole = values.subarray(0, values.length - (values.length % rowLength))
    expect(sameBits(codec.quantize('Q8_0', whole, rowLength), oracle.quantize('Q8_0', whole, rowLength))).toBe(true)
  }
})

test.skipIf(!oracle.available)('MXFP4: the exponent just below a power of two', () => {
  for (let exponent = -100; exponent < 128; exponent++) {
    const values = new Float32Array(32)
    for (const steps of [0, 1, 2, 3, 5, 9, 17, 40, 90]) {
      values[3] = 2 ** exponent * (1 - steps * 2 ** -24)
      expect(sameBits(codec.quantize('MXFP4', values, 32), oracle.quantize('MXFP4', values, 32))).toBe(true)
    }
  }
})

test.each(['TQ1_0', 'TQ2_0', 'MXFP4', 'NVFP4', 'Q1_0', 'Q8_0'] as GgmlTypeName[])(
  '%s: what was in the type stays as it is',
  (type) => {
    const { blockSize } = ggmlType(type)
    const once = codec.dequantize(type, codec.quantize(type, gaussian(blockSize * 8, 6), blockSize), blockSize * 8)
    const twice = codec.dequantize(type, codec.quantize(type, once, blockSize), blockSize * 8)
    if (type === 'Q8_0') for (const [i, x] of twice.entries()) expect(x).toBeCloseTo(once[i] ?? Number.NaN, 2)
    else expect(twice).toEqual(once)
  },
)

test('NVFP4 has scales up to 448, each nearest to a sixth of the greatest value', () => {
  const scaleOf = (greatest: number) => codec.quantize('NVFP4', new Float32Array(64).fill(greatest, 0, 1), 64)[0]
  // E4M3: 0x78 is 256, 0x7e is 448; 0x01 is 2^-9. ggml gives 448 for all from 248 on.
  expect([6 * 256, 6 * 300, 6 * 448, 6e9].map(scaleOf)).toEqual([0x78, 0x79, 0x7e, 0x7e])
  expect([0, 6 * 2 ** -11, 6 * 2 ** -9, 6].map(scaleOf)).toEqual([0, 0, 1, 0x38])
})
