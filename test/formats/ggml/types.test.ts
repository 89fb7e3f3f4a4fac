import { describe, expect, test } from 'vitest'
import { findGgmlType, fitsRow, ggmlBytes, ggmlTypeOfId, ggmlTypes } from '../../../formats/ggml/types.js'
import { oracle } from '../../support/ggml-oracle.js'

describe.skipIf(!oracle.available)(`the table of types, against ${oracle.name}`, () => {
  test.each(ggmlTypes.map((type) => [type.name, type] as const))('%s', (name, type) => {
    expect(oracle.typeName(type.id).toUpperCase()).toBe(name)
    expect(type.blockSize).toBe(oracle.blockSize(name))
    expect(type.blockBytes).toBe(oracle.blockBytes(name))
  })
})

describe('looking types up', () => {
  test('by name, whatever its case, and by id', () => {
    expect(findGgmlType('iq2_xxs')?.id).toBe(16)
    expect(findGgmlType('Q4_K')?.bitsPerWeight).toBe(4.5)
    expect(findGgmlType('Q4_2')).toBeUndefined()
    expect(ggmlTypeOfId(0)?.name).toBe('F32')
    expect(ggmlTypeOfId(4)).toBeUndefined()
    expect(ggmlTypeOfId(-1)).toBeUndefined()
  })

  test('sizes need whole blocks, and go beyond 32 bits', () => {
    expect(fitsRow('Q4_K', 384)).toBe(false)
    expect(fitsRow('Q4_K', 512)).toBe(true)
    expect(ggmlBytes('Q8_0', 64)).toBe(68)
    expect(ggmlBytes('Q4_K', 2 ** 36)).toBe(38654705664)
    expect(() => ggmlBytes('Q8_0', 33)).toThrow(RangeError)
  })
})
