import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { benchData, samplePath } from '../../../bench/data.js'
import { weightedErrors } from '../../../bench/kernels.js'
import { openCodec } from '../../../formats/ggml/codec.js'
import { type GgmlTypeName, ggmlType } from '../../../formats/ggml/types.js'
import { oracle } from '../../support/ggml-oracle.js'
import { gaussian, sameBits, studentT4 } from '../../support/numbers.js'

const codec = await openCodec()
const rowLength = 512
const length = 24 * rowLength

/** Types with an importance-weighted search; the bounds are on our error / ggml's, with and without importance. */
const types: [GgmlTypeName, number, number][] = [
  ['Q4_0', 1, 0.97],
  ['Q4_1', 0.99, 0.86],
  ['Q5_0', 1, 0.96],
  ['Q5_1', 0.985, 0.85],
  ['Q2_K', 0.97, 0.88],
  ['Q3_K', 1, 0.97],
  ['Q4_K', 0.98, 0.985],
  ['Q5_K', 0.94, 0.93],
  ['Q6_K', 0.96, 0.94],
  ['IQ4_NL', 0.98, 0.97],
  ['IQ4_XS', 0.97, 0.97],
]
const names = types.map(([type]) => type)

const data = {
  gaussian: gaussian(length, 1),
  'heavy-tailed': studentT4(length, 2),
  'sample weights': await benchData('sample', length, samplePath()),
}
const importances = {
  importance: gaussian(rowLength, 3).map((x) => Math.exp(x)),
  'very unequal importance': gaussian(rowLength, 4).map((x) => Math.exp(1.5 * x) * 1e-3),
}

describe.skipIf(!oracle.available)(`errors against those of ${oracle.name}`, () => {
  const ratios = (type: GgmlTypeName, rows: Float32Array, weights?: Float32Array): { plain: number; conventional: number } => {
    const read = (blocks: Uint8Array) => oracle.dequantize(type, blocks, length)
    const ours = weightedErrors(type, rows, read(codec.quantize(type, rows, rowLength, weights)), rowLength, weights)
    const theirs = weightedErrors(type, rows, read(oracle.quantize(type, rows, rowLength, weights)), rowLength, weights)
    return { plain: ours.plain / theirs.plain, conventional: ours.conventional / theirs.conventional }
  }
  describe.each(types)('%s', (type, bound, plainBound) => {
    test.each(Object.entries(data))('%s', (_, rows) => {
      const plain = ratios(type, rows)
      expect(plain.plain).toBeLessThan(plainBound)
      expect(plain.conventional).toBeLessThan(0.99)
    })
    test.each(
      Object.entries(data).flatMap(([name, rows]) =>
        Object.entries(importances).map(([kind, w]) => [name, kind, rows, w] as const),
      ),
    )('%s, %s', (_name, _kind, rows, weights) => {
      const found = ratios(type, rows, weights)
      expect(found.plain).toBeLessThan(bound)
      expect(found.conventional).toBeLessThan(bound)
    })
  })
})

describe.each(names)('%s', (type) => {
  const { blockSize } = ggmlType(type)
  const roundTrip = (rows: Float32Array, width = rows.length, weights?: Float32Array) =>
    codec.dequantize(type, codec.quantize(type, rows, width, weights), rows.length)
  /** The step of a type, as a part of the largest magnitude, with room for scales stored in few bits. */
  const coarse = type === 'Q2_K' ? 0.5 : type === 'Q3_K' ? 0.3 : 0.15

  test('the same bytes again, after other rows', () => {
    const rows = gaussian(2 * rowLength, 5)
    const first = codec.quantize(type, rows, rowLength, importances.importance)
    codec.quantize(type, studentT4(2 * rowLength, 6), rowLength)
    expect(sameBits(codec.quantize(type, rows, rowLength, importances.importance), first)).toBe(true)
  })

  test('each row for itself', () => {
    // Three blocks a row, so that the groups of four that share vectors straddle rows.
    const width = 3 * blockSize
    const rows = studentT4(5 * width, 7)
    const weights = importances.importance.slice(0, Math.min(width, rowLength))
    const importance = width <= rowLength ? weights : Float32Array.from({ length: width }, (_, i) => weights[i % rowLength] ?? 1)
    const together = codec.quantize(type, rows, width, importance)
    const apart = Array.from({ length: 5 }, (_, row) =>
      codec.quantize(type, rows.subarray(row * width, (row + 1) * width), width, importance),
    )
    expect(sameBits(together, Buffer.concat(apart))).toBe(true)
  })

  test('blocks of zeros, among others', () => {
    const rows = gaussian(4 * blockSize, 8)
    rows.fill(0, blockSize, 2 * blockSize)
    for (const weights of [undefined, new Float32Array(4 * blockSize).fill(2)]) {
      const read = roundTrip(rows, rows.length, weights)
      expect(read.subarray(blockSize, 2 * blockSize).every((x) => x === 0)).toBe(true)
      expect(read.some((x) => x !== 0)).toBe(true)
    }
  })

  test.each([1, -1, 0.001, -300])('blocks of the constant %f', (constant) => {
    // A half has 11 bits; integer scales add their own rounding, which d can take up where all sub-blocks are alike.
    const read = roundTrip(new Float32Array(2 * blockSize).fill(constant))
    expect(Math.max(...read.map((x) => Math.abs(x / constant - 1)))).toBeLessThan(0.01)
  })

  test('one outlier', () => {
    const rows = new Float32Array(blockSize)
    rows[5] = -7
    const read = roundTrip(rows)
    expect(Math.abs((read[5] ?? 0) + 7)).toBeLessThan(0.02)
    expect(read.every((x, i) => i === 5 || Math.abs(x) < 0.7)).toBe(true)
  })

  test('columns of no importance are quantized all the same, and cost the others nothing', () => {
    const rows = gaussian(2 * blockSize, 9)
    const half = Float32Array.from({ length: 2 * blockSize }, (_, i) => (i % 2 === 0 ? 1 : 0))
    const read = roundTrip(rows, 2 * blockSize, half)
    const error = (values: Float32Array): number =>
      values.reduce((sum, x, i) => sum + (half[i] ?? 0) * (x - (rows[i] ?? 0)) ** 2, 0)
    expect(error(read)).toBeLessThanOrEqual(error(roundTrip(rows)))
    const none = roundTrip(rows, 2 * blockSize, new Float32Array(2 * blockSize))
    const largest = Math.max(...rows.map(Math.abs))
    expect(Math.max(...none.map((x, i) => Math.abs(x - (rows[i] ?? 0))))).toBeLessThan(coarse * largest)
  })

  test('a scale beyond the range of f16 becomes its largest value', () => {
    const read = roundTrip(gaussian(blockSize, 10).map((x) => 1e30 * x))
    expect(read.every(Number.isFinite)).toBe(true)
    expect(Math.max(...read.map(Math.abs))).toBeGreaterThan(65504)
  })

  test('finite values in, finite values out, whatever their exponents', () => {
    const exponents = fc.integer({ min: -149, max: 127 })
    const row = fc.array(fc.tuple(fc.double({ min: -1.99, max: 1.99, noNaN: true }), exponents), {
      minLength: blockSize,
      maxLength: blockSize,
    })
    const spread = fc.tuple(row, exponents, fc.option(row))
    fc.assert(
      fc.property(spread, ([values, around, weights]) => {
        // Half of them near one exponent, as real blocks are.
        const rows = Float32Array.from(values, ([x, e], i) => x * 2 ** (i % 2 === 0 ? e : around))
        const importance = weights === null ? undefined : Float32Array.from(weights, ([x, e]) => Math.abs(x) * 2 ** e)
        expect(roundTrip(rows, blockSize, importance).every(Number.isFinite)).toBe(true)
      }),
      { numRuns: 40, seed: 1 },
    )
  })
})
