import fc from 'fast-check'
import { expect, it } from 'vitest'
import { decodeBytes, encodeBytes, holdsRawBytes } from '../../../formats/gguf/text.js'

it('any bytes are read, and written as they were', () => {
  const nearText = fc.array(
    fc.oneof(
      fc.string({ unit: 'grapheme' }).map((text) => [...Buffer.from(text)]),
      fc.array(fc.nat(255)),
    ),
  )
  const bytes = fc.oneof(
    fc.uint8Array(),
    nearText.map((parts) => Uint8Array.from(parts.flat())),
  )
  fc.assert(
    fc.property(bytes, (bytes) => {
      expect([...encodeBytes(decodeBytes(bytes))]).toEqual([...bytes])
    }),
    { numRuns: 500 },
  )
})

it.each([
  // What bytes.decode('utf-8', 'surrogateescape') of Python gives.
  [[0x61, 0xff, 0x62], 'a\udcffb'],
  [[0xc0, 0x80], '\udcc0\udc80'],
  [[0xed, 0xa0, 0x80], '\udced\udca0\udc80'],
  [[0xf4, 0x90, 0x80, 0x80], '\udcf4\udc90\udc80\udc80'],
  [[0xe2, 0x96], '\udce2\udc96'],
  [[0xe2, 0x96, 0x81, 0xe2], '▁\udce2'],
])('%j', (bytes, text) => {
  expect(decodeBytes(Uint8Array.from(bytes))).toBe(text)
  expect(holdsRawBytes(text)).toBe(true)
})

it('UTF-8 is text alone', () => {
  expect(holdsRawBytes('In principio ▁ 天 🙂 \ufeff')).toBe(false)
  expect(decodeBytes(Buffer.from('\ufeffab'))).toBe('\ufeffab')
})
