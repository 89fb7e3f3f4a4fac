import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { bufferSource } from '../../../formats/byte-source.js'
import { FormatError } from '../../../formats/format-error.js'
import { layoutGguf, type MetadataValue, readGguf } from '../../../formats/gguf/index.js'
import { concat } from '../../support/gguf-bytes.js'

const metadata = new Map<string, MetadataValue>([
  ['general.architecture', { type: 'string', value: 'llama' }],
  ['general.alignment', { type: 'uint32', value: 64 }],
  ['tokens', { type: 'array', elementType: 'string', value: ['a', 'é', '🦙'] }],
  ['scores', { type: 'array', elementType: 'float32', value: [1, 2] }],
  ['lists', { type: 'array', elementType: 'array', value: [{ type: 'array', elementType: 'uint8', value: [1] }] }],
  ['count', { type: 'uint64', value: 7n }],
])
const { header, dataBytes } = layoutGguf(metadata, [
  { name: 'a', dimensions: [256, 2], type: 'Q4_K' },
  { name: 'b', dimensions: [3], type: 'F32' },
])
const whole = concat([header, new Uint8Array(dataBytes)])

/** Bytes that matter most in lengths and counts are the extreme ones. */
const byte = fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255))
const damage = fc.record({
  flips: fc.array(fc.tuple(fc.nat(header.byteLength - 1), byte), { maxLength: 4 }),
  length: fc.option(fc.nat(whole.byteLength)),
})

test('a damaged file is read or refused with a code, and nothing else', async () => {
  const codes = new Set<string>()
  await fc.assert(
    fc.asyncProperty(damage, async ({ flips, length }) => {
      const bytes = whole.slice(0, length ?? whole.byteLength)
      for (const [at, value] of flips) if (at < bytes.byteLength) bytes[at] = value
      try {
        const { tensors } = await readGguf(bufferSource(bytes))
        codes.add(`${tensors.length} tensors`)
      } catch (error) {
        if (!(error instanceof FormatError)) throw error
        codes.add(error.code)
      }
    }),
    { numRuns: 5000, timeout: 1000 },
  )
  expect([...codes]).toEqual(
    expect.arrayContaining(['2 tensors', 'INPUT_TRUNCATED', 'GGUF_INVALID', 'GGUF_UNSUPPORTED', 'GGML_TYPE_UNKNOWN']),
  )
})
