import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openCodec } from '../../../formats/ggml/codec.js'
import { type GgmlTypeName, ggmlType } from '../../../formats/ggml/types.js'
import { oracle } from '../../support/ggml-oracle.js'
import { gaussian, sameBits, studentT4 } from '../../support/numbers.js'
import { type WeightedErrors, weightedErrors } from '../../support/weighted-error.js'

const codec = await openCodec()
const rowLength = 512
const length = 16 * rowLength

/** A weight matrix of the sample model: bf16, found by the safetensors header. */
async function sampleWeights(): Promise<Float32Array> {
  const path = fileURLToPath(new URL('../../../samples/llama-kjv/model.safetensors', import.meta.url))
  const bytes = await readFile(path)
  const start = 8 + Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<string, { data_offsets: [number, number] }>
  const from = start + (header['model.layers.1.mlp.gate_proj.weight']?.data_offsets[0] ?? Number.NaN)
  return codec.dequantize('BF16', bytes.subarray(from, from + 2 * length), length)
}

const data = { gaussian: gaussian(length, 1), 'heavy-tailed': studentT4(length, 2), 'sample weights': await sampleWeights() }
const importances = {
  'equal importance': new Float32Array(rowLength).fill(1),
  importance: gaussian(rowLength, 3).map((x) => Math.exp(x)),
  'very unequal importance': gaussian(rowLength, 4).map((x) => Math.exp(2.5 * x)),
}

/** What the error may be of ggml's at most, for any data and importance. The acceptance bound is 1.01. */
const types: [GgmlTypeName, { sigmaFactor: number; bound: number }][] = [
  ['IQ2_XXS', { sigmaFactor: 1, bound: 0.99 }],
  ['IQ2_XS', { sigmaFactor: 1, bound: 0.97 }],
  ['IQ2_S', { sigmaFactor: 2, bound: 0.99 }],
  ['IQ3_XXS', { sigmaFactor: 2, bound: 1 }],
  ['IQ3_S', { sigmaFactor: 2, bound: 0.97 }],
  ['IQ1_S', { sigmaFactor: 2, bound: 0.995 }],
  ['IQ1_M', { sigmaFactor: 2, bound: 0.95 }],
]

type Errors = Record<string, Record<string, WeightedErrors>>

/** ggml's errors, by data and importance. They are kept in a file, because ggml prepares some of these types for ten seconds. */
const goldenPath = fileURLToPath(new URL('../../golden/ggml-codebook-errors.json', import.meta.url))
const golden = JSON.parse(await readFile(goldenPath, 'utf8')) as Record<string, Errors>

function errorsOf(quantize: (rows: Float32Array, weights: Float32Array) => Float32Array, sigmaFactor: number): Errors {
  return Object.fromEntries(
    Object.entries(data).map(([name, rows]) => [
      name,
      Object.fromEntries(
        Object.entries(importances).map(([kind, weights]) => [
          kind,
          weightedErrors(rows, quantize(rows, weights), weights, sigmaFactor),
        ]),
      ),
    ]),
  )
}

/** MQ_SLOW_TESTS=1 asks ggml again about all types; MQ_SLOW_TESTS=write also writes down what it says. */
const slow = process.env['MQ_SLOW_TESTS']
const asked = types.filter(([type]) => slow !== undefined || type === 'IQ3_XXS')

test.skipIf(!oracle.available)(`the golden errors are those of ${oracle.name}`, async () => {
  const found = asked.map(([type, { sigmaFactor }]) => {
    const quantize = (rows: Float32Array, weights: Float32Array) =>
      oracle.dequantize(type, oracle.quantize(type, rows, rowLength, weights), length)
    return [type, errorsOf(quantize, sigmaFactor)] as const
  })
  if (slow === 'write') await writeFile(goldenPath, `${JSON.stringify(Object.fromEntries(found), null, 2)}\n`)
  for (const [type, errors] of found) {
    for (const [name, kinds] of Object.entries(errors)) {
      for (const [kind, { plain, conventional }] of Object.entries(kinds)) {
        const kept = golden[type]?.[name]?.[kind]
        expect((kept?.plain ?? Number.NaN) / plain).toBeCloseTo(1, 3)
        expect((kept?.conventional ?? Number.NaN) / conventional).toBeCloseTo(1, 3)
      }
    }
  }
})

test.each(types)('%s: a smaller weighted error than ggml', (type, { sigmaFactor, bound }) => {
  const ours = errorsOf(
    (rows, weights) => codec.dequantize(type, codec.quantize(type, rows, rowLength, weights), length),
    sigmaFactor,
  )
  for (const [name, kinds] of Object.entries(ours)) {
    for (const [kind, { plain, conventional }] of Object.entries(kinds)) {
      const theirs = golden[type]?.[name]?.[kind]
      expect(conventional / (theirs?.conventional ?? Number.NaN), `${name}, ${kind}`).toBeLessThan(bound)
      expect(plain / (theirs?.plain ?? Number.NaN), `${name}, ${kind}, plain`).toBeLessThan(bound)
    }
  }
})

describe.each(types)('%s', (type, { sigmaFactor }) => {
  const { blockBytes } = ggmlType(type)
  const rows = data['heavy-tailed']

  test('without importance: no worse than ggml with equal importance', () => {
    for (const [name, values] of Object.entries(data)) {
      const found = codec.dequantize(type, codec.quantize(type, values, rowLength), length)
      const { plain, conventional } = weightedErrors(values, found, importances['equal importance'], sigmaFactor)
      const theirs = golden[type]?.[name]?.['equal importance']
      expect(conventional / (theirs?.conventional ?? Number.NaN), name).toBeLessThan(1)
      expect(plain / (theirs?.plain ?? Number.NaN), name).toBeLessThan(1)
    }
  })

  test('only ratios of importance matter', () => {
    const { importance } = importances
    const bytes = codec.quantize(type, rows, rowLength, importance)
    expect(
      sameBits(
        codec.quantize(
          type,
          rows,
          rowLength,
          importance.map((w) => w * 1024),
        ),
        bytes,
      ),
    ).toBe(true)
  })

  test('a row does not depend on its neighbours', () => {
    const whole = codec.quantize(type, rows, rowLength, importances.importance)
    const rowBytes = whole.length / 16
    for (const row of [0, 7, 15]) {
      const alone = codec.quantize(type, rows.slice(row * rowLength, (row + 1) * rowLength), rowLength, importances.importance)
      expect(sameBits(alone, whole.slice(row * rowBytes, (row + 1) * rowBytes))).toBe(true)
    }
  })

  test('zeros are zeros, and what a half cannot hold is as near as it gets', () => {
    expect(codec.quantize(type, new Float32Array(256), 256)).toEqual(new Uint8Array(blockBytes))
    for (const size of [1e-45, 1e-30, 1e-9, 1e-6, 1e6, 1e20, 3e38]) {
      const values = gaussian(256, 9).map((x) => Math.max(-1, Math.min(1, x)) * size)
      for (const y of codec.dequantize(type, codec.quantize(type, values, 256), 256)) {
        expect(Number.isFinite(y)).toBe(true)
        expect(Math.abs(y)).toBeLessThanOrEqual(Math.max(2 * size, 1e-5))
      }
    }
  })

  test('runs of zeros and columns without importance do no harm', () => {
    const holes = rows.slice(0, 256).fill(0, 32, 128)
    const weights = new Float32Array(256).fill(1).fill(0, 128, 200)
    const values = codec.dequantize(type, codec.quantize(type, holes, 256, weights), 256)
    const scale = Math.max(...holes.map(Math.abs))
    for (const [i, y] of values.entries()) {
      if (i >= 32 && i < 128) expect(Math.abs(y)).toBeLessThan(scale / 8)
      else expect(Math.abs(y)).toBeLessThan(2 * scale)
    }
    expect(weightedErrors(holes, values, weights, 2).plain).toBeLessThan(
      0.5 * weightedErrors(holes, new Float32Array(256), weights, 2).plain,
    )
    expect(sameBits(codec.quantize(type, holes, 256, new Float32Array(256)), codec.quantize(type, holes, 256))).toBe(true)
  })

  test('any finite values and importance give finite values, the same each time', () => {
    const value = fc.float({ noNaN: true, noDefaultInfinity: true })
    const weight = fc.float({ min: 0, noNaN: true, noDefaultInfinity: true })
    fc.assert(
      fc.property(
        fc.float32Array({ minLength: 256, maxLength: 256, noNaN: true, noDefaultInfinity: true }),
        fc.array(value, { minLength: 1, maxLength: 4 }),
        fc.array(weight, { minLength: 256, maxLength: 256 }),
        (values, few, weights) => {
          for (const [i, x] of few.entries()) values.fill(x, 64 * i, 64 * i + 40)
          const importance = Float32Array.from(weights)
          const bytes = codec.quantize(type, values, 256, importance)
          expect(sameBits(bytes, codec.quantize(type, values, 256, importance))).toBe(true)
          expect(codec.firstNonFinite(codec.dequantize(type, bytes, 256))).toBe(-1)
        },
      ),
      { numRuns: 40 },
    )
  })
})
