import { describe, expect, test } from 'vitest'

/** With the tester of equal-bytes.ts, which all tests have. */
describe('typed arrays', () => {
  const bytes = Uint8Array.of(0, 0, 128, 63, 0, 0, 0, 64)

  test('of the same type and bytes are equal, wherever in a buffer they lie', () => {
    const padded = Uint8Array.of(9, 9, 9, 9, ...bytes, 9)
    expect(padded.subarray(4, 12)).toEqual(bytes)
    expect(new Float32Array(padded.buffer.slice(4, 12))).toEqual(Float32Array.of(1, 2))
    expect({ a: [Float64Array.of(Number.NaN)] }).toEqual({ a: [Float64Array.of(Number.NaN)] })
  })

  test.each<[string, ArrayBufferView, ArrayBufferView]>([
    ['one byte', bytes, bytes.with(7, 65)],
    ['length', bytes, bytes.subarray(0, 7)],
    ['type, with the same bytes', bytes, new Float32Array(bytes.buffer)],
    ['type, with the same values', Float32Array.of(1, 2), Float64Array.of(1, 2)],
    ['sign, with the same bytes', Int8Array.of(1), Uint8Array.of(1)],
    ['the sign of a zero', Float32Array.of(0), Float32Array.of(-0)],
    ['a number', Float32Array.of(Number.NaN), Float32Array.of(1)],
  ])('that differ in %s are not', (_, a, b) => {
    expect(a).not.toEqual(b)
    expect(b).not.toEqual(a)
    expect({ inside: [a] }).not.toEqual({ inside: [b] })
    expect(() => expect(a).toEqual(b)).toThrow(/expected/)
  })
})
