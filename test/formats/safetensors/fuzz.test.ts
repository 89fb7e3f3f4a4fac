import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { bufferSource } from '../../../formats/byte-source.js'
import { FormatError } from '../../../formats/format-error.js'
import { readSafetensorsHeader } from '../../../formats/safetensors/index.js'
import { safetensorsBytes } from '../../support/safetensors-bytes.js'

const header = {
  __metadata__: { format: 'pt', 'ü\n"': '\\' },
  'a.weight': { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] },
  'b.weight': { dtype: 'U8', shape: [3], data_offsets: [16, 19] },
}
const whole = safetensorsBytes(header, 19)

/** What matters to JSON, besides any byte. */
const byte = fc.oneof(fc.constantFrom(...Buffer.from('{}[]",:\\0139eE-. ')), fc.nat(255))
const damage = fc.record({
  flips: fc.array(fc.tuple(fc.nat(whole.byteLength - 20), byte), { maxLength: 4 }),
  length: fc.option(fc.nat(whole.byteLength)),
})

test('a damaged file is read or refused with a code, and nothing else', async () => {
  const codes = new Set<string>()
  await fc.assert(
    fc.asyncProperty(damage, async ({ flips, length }) => {
      const bytes = whole.slice(0, length ?? whole.byteLength)
      for (const [at, value] of flips) if (at < bytes.byteLength) bytes[at] = value
      try {
        codes.add(`${(await readSafetensorsHeader(bufferSource(bytes))).tensors.size} tensors`)
      } catch (error) {
        if (!(error instanceof FormatError)) throw error
        codes.add(error.code)
      }
    }),
    { numRuns: 5000, timeout: 1000 },
  )
  expect([...codes]).toEqual(expect.arrayContaining(['2 tensors', 'INPUT_TRUNCATED', 'SAFETENSORS_INVALID']))
})
