import * as fc from 'fast-check'
import type { MetadataArray, MetadataScalarType, MetadataValue } from '../../../formats/gguf/index.js'

/** Any text that UTF-8 can hold, with characters beyond the basic plane. */
const text = fc.string({ unit: 'binary' })

const scalars: Record<MetadataScalarType, fc.Arbitrary<number | bigint | boolean | string>> = {
  uint8: fc.integer({ min: 0, max: 2 ** 8 - 1 }),
  int8: fc.integer({ min: -(2 ** 7), max: 2 ** 7 - 1 }),
  uint16: fc.integer({ min: 0, max: 2 ** 16 - 1 }),
  int16: fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 }),
  uint32: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  int32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  float32: fc.float(),
  float64: fc.double(),
  bool: fc.boolean(),
  string: text,
  uint64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  int64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
}
const scalarTypes = Object.keys(scalars) as MetadataScalarType[]

const scalarArray = fc
  .constantFrom(...scalarTypes)
  .chain((elementType) =>
    fc.array(scalars[elementType], { maxLength: 8 }).map((value): MetadataArray => ({ type: 'array', elementType, value })),
  )

const { array } = fc.letrec<{ array: MetadataArray }>((tie) => ({
  array: fc.oneof(
    { maxDepth: 4 },
    scalarArray,
    fc.array(tie('array'), { maxLength: 3 }).map((value) => ({ type: 'array' as const, elementType: 'array' as const, value })),
  ),
}))

const scalar = fc.constantFrom(...scalarTypes).chain((type) => scalars[type].map((value) => ({ type, value }) as MetadataValue))

/** A metadata value of any type, arrays nested up to five deep. */
export const metadataValue: fc.Arbitrary<MetadataValue> = fc.oneof(scalar, array)

/** Metadata with keys of any kind but those that say something about the file itself. */
export const metadata: fc.Arbitrary<Map<string, MetadataValue>> = fc
  .array(
    fc.tuple(
      text.filter((key) => key !== '' && key !== 'general.alignment' && !key.startsWith('split.')),
      metadataValue,
    ),
    {
      maxLength: 8,
    },
  )
  .map((entries) => new Map(entries))
