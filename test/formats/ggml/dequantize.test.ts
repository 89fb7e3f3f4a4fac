import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FormatError } from '../../../formats/format-error.js'
import { openCodec } from '../../../formats/ggml/codec.js'
import { type GgmlTypeName, ggmlType, ggmlTypes } from '../../../formats/ggml/types.js'
import { oracle } from '../../support/ggml-oracle.js'
import { randomBytes, sameBits } from '../../support/numbers.js'

const codec = await openCodec()

/** Where a block has its halves; everything else in a block may be any byte. */
const halves: Partial<Record<GgmlTypeName, number[]>> = {
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
  IQ2_XXS: [0],
  IQ2_XS: [0],
  IQ2_S: [0],
  IQ3_XXS: [0],
  IQ3_S: [0],
  IQ1_S: [0],
  IQ4_NL: [0],
  IQ4_XS: [0],
  TQ1_0: [52],
  TQ2_0: [64],
  Q1_0: [0],
  Q2_0: [0],
}

/** Random blocks, made valid: their halves are finite. */
function makeFinite(type: GgmlTypeName, bytes: Uint8Array): Uint8Array {
  const { blockBytes } = ggmlType(type)
  for (let block = 0; block < bytes.length; block += blockBytes) {
    for (const at of halves[type] ?? []) {
      const high = block + at + 1
      if (((bytes[high] ?? 0) & 0x7c) === 0x7c) bytes[high] = (bytes[high] ?? 0) ^ 0x40
    }
    // IQ1_M spreads its half over the upper bits of four words; its exponent's top bit is in the last byte.
    if (type === 'IQ1_M') bytes[block + 55] = (bytes[block + 55] ?? 0) & 0xbf
  }
  return bytes
}

const readable = ggmlTypes.map(({ name }) => name).filter((name) => oracle.available && oracle.canDequantize(name))

test.skipIf(!oracle.available)(`every type that ggml reads can be read [${oracle.name}]`, () => {
  expect(readable.filter((type) => !codec.canDequantize(type))).toEqual([])
  expect(readable.length).toBe(28)
})

describe.skipIf(!oracle.available)(`reading blocks, bit for bit as ${oracle.name}`, () => {
  test.each(readable)('%s: random blocks', (type) => {
    const { blockSize, blockBytes } = ggmlType(type)
    const blocks = Math.ceil(200_000 / blockSize)
    const bytes = makeFinite(type, randomBytes(blocks * blockBytes, ggmlType(type).id))
    const values = codec.dequantize(type, bytes, blocks * blockSize)
    expect(sameBits(values, oracle.dequantize(type, bytes, blocks * blockSize))).toBe(true)
  })

  test.each(readable)('%s: any blocks, from one to five, anywhere in a buffer', (type) => {
    const { blockSize, blockBytes } = ggmlType(type)
    const block = fc.uint8Array({ minLength: blockBytes, maxLength: blockBytes })
    fc.assert(
      fc.property(fc.array(block, { minLength: 1, maxLength: 5 }), fc.nat(3), (parts, shift) => {
        const bytes = new Uint8Array(shift + parts.length * blockBytes).subarray(shift)
        for (const [i, part] of parts.entries()) bytes.set(part, i * blockBytes)
        makeFinite(type, bytes)
        const elements = parts.length * blockSize
        expect(sameBits(codec.dequantize(type, bytes, elements), oracle.dequantize(type, bytes.slice(), elements))).toBe(true)
      }),
      { numRuns: 30 },
    )
  })

  test.each(['Q8_0', 'Q6_K', 'IQ2_S', 'F16', 'TQ1_0'] as GgmlTypeName[])('%s: more values than cross in one call', (type) => {
    const { blockSize, blockBytes } = ggmlType(type)
    const blocks = ((1 << 21) + 256 * 3) / blockSize
    const bytes = makeFinite(type, randomBytes(blocks * blockBytes, 77))
    const values = codec.dequantize(type, bytes, blocks * blockSize)
    expect(sameBits(values, oracle.dequantize(type, bytes, blocks * blockSize))).toBe(true)
  })
})

describe('what does not fit', () => {
  test('values that are not whole blocks', () => {
    expect(() => codec.dequantize('Q4_K', new Uint8Array(144), 255)).toThrow(
      expect.objectContaining({ code: 'GGML_ROW_MISALIGNED', details: { type: 'Q4_K', rowLength: 255, blockSize: 256 } }),
    )
    expect(() => codec.quantize('Q8_0', new Float32Array(48), 48)).toThrow(FormatError)
  })

  test('types without a kernel', () => {
    expect(codec.canDequantize('I32')).toBe(false)
    expect(() => codec.dequantize('I32', new Uint8Array(4), 1)).toThrow(
      expect.objectContaining({ code: 'GGML_TYPE_UNKNOWN', details: { type: 'I32', where: 'the kernels that dequantize' } }),
    )
  })

  test('bytes of another length', () => {
    expect(() => codec.dequantize('Q8_0', new Uint8Array(35), 32)).toThrow(RangeError)
    expect(() => codec.quantize('Q8_0', new Float32Array(96), 64)).toThrow(RangeError)
    expect(() => codec.quantize('Q8_0', new Float32Array(64), 64, new Float32Array(32))).toThrow(RangeError)
  })

  test('nothing gives nothing', () => {
    expect(codec.dequantize('Q4_K', new Uint8Array(0), 0)).toEqual(new Float32Array(0))
    expect(codec.quantize('Q8_0', new Float32Array(0), 32)).toEqual(new Uint8Array(0))
  })
})
