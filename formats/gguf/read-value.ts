import { quote } from '../quote.js'
import type { HeaderCursor } from './cursor.js'
import { type MetadataArray, type MetadataTypeName, type MetadataValue, metadataTypeIds } from './types.js'

const maxStringBytes = 64 * 2 ** 20
const maxArrayDepth = 8

const typeNames = new Map<number, MetadataTypeName>(
  Object.entries(metadataTypeIds).map(([name, id]) => [id, name as MetadataTypeName]),
)

/** The fewest bytes that a value of a type takes: what makes a count believable. */
const minimumBytes: Readonly<Record<MetadataTypeName, number>> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  string: 8,
  array: 12,
  uint64: 8,
  int64: 8,
  float64: 8,
}

/**
 * Reads a metadata value: its type's number, then the value.
 * @throws FormatError GGUF_INVALID, INPUT_TRUNCATED.
 */
export function readMetadataValue(cursor: HeaderCursor, key: string): MetadataValue {
  const type = readType(cursor, key)
  const value = readItem(cursor, type, key, 1)
  return typeof value === 'object' ? value : ({ type, value } as MetadataValue)
}

function readType(cursor: HeaderCursor, key: string): MetadataTypeName {
  const id = cursor.uint32()
  const type = typeNames.get(id)
  if (type === undefined) throw cursor.fail(`the metadata ${quote(key)} has the unknown type ${id}`)
  return type
}

function readItem(cursor: HeaderCursor, type: MetadataTypeName, key: string, depth: number): MetadataArray['value'][number] {
  switch (type) {
    case 'string':
      return cursor.text(maxStringBytes, 'a text')
    case 'array':
      return readArray(cursor, key, depth)
    case 'bool': {
      const value = cursor.uint8()
      if (value > 1) throw cursor.fail(`the metadata ${quote(key)} holds ${value} where only 0 and 1 are allowed`)
      return value === 1
    }
    default:
      return cursor[type]()
  }
}

function readArray(cursor: HeaderCursor, key: string, depth: number): MetadataArray {
  if (depth > maxArrayDepth) throw cursor.fail(`the metadata ${quote(key)} nests arrays deeper than ${maxArrayDepth}`)
  const elementType = readType(cursor, key)
  const length = cursor.checkArrayLength(cursor.uint64(), minimumBytes[elementType])
  const value: MetadataArray['value'][number][] = []
  for (let index = 0; index < length; index++) value.push(readItem(cursor, elementType, key, depth + 1))
  return { type: 'array', elementType, value }
}
