import { expect, test } from 'vitest'
import { weightedErrors } from '../../../bench/kernels.js'
import { openCodec } from '../../../formats/ggml/codec.js'
import { type Effort, efforts } from '../../../formats/ggml/effort.js'
import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { oracle } from '../../support/ggml-oracle.js'
import { gaussian, sameBits, studentT4 } from '../../support/numbers.js'

const codec = await openCodec()
const rowLength = 512
const rows = studentT4(16 * rowLength, 2)
const importance = gaussian(rowLength, 3).map((x) => Math.exp(x))

const searched: GgmlTypeName[] = [
  ...(['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K', 'IQ4_NL', 'IQ4_XS'] as const),
  ...(['IQ1_S', 'IQ1_M', 'IQ2_XXS', 'IQ2_XS', 'IQ2_S', 'IQ3_XXS', 'IQ3_S'] as const),
]

const blocksOf = (type: GgmlTypeName, effort?: Effort): Uint8Array => codec.quantize(type, rows, rowLength, importance, effort)

test.each(searched)('%s: each effort has less error than the one before, as ggml reads the blocks', (type) => {
  // Where ggml is not there, our reader stands in: dequantize.test.ts proves it alike.
  const reader = oracle.available ? oracle : codec
  const errors = efforts.map(
    (effort) =>
      weightedErrors(type, rows, reader.dequantize(type, blocksOf(type, effort), rows.length), rowLength, importance)
        .conventional,
  )
  const [fast = 0, normal = 0, best = 0] = errors
  expect(normal).toBeLessThan(fast)
  expect(best).toBeLessThan(normal)
})

test.each(searched)('%s: an effort gives the same bytes after another one', (type) => {
  const first = efforts.map((effort) => blocksOf(type, effort))
  efforts.toReversed().forEach((effort) => {
    expect(sameBits(blocksOf(type, effort), first[efforts.indexOf(effort)] ?? new Uint8Array())).toBe(true)
  })
  expect(sameBits(blocksOf(type), first[1] ?? new Uint8Array())).toBe(true)
})

test('plain types have one way only', () => {
  for (const type of ['Q8_0', 'F16', 'MXFP4', 'TQ2_0'] as const)
    expect(sameBits(blocksOf(type, 'best'), blocksOf(type, 'fast'))).toBe(true)
})
