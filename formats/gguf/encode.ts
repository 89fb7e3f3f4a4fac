import { alignUp } from '../align-up.js'
import { FormatError } from '../format-error.js'
import { quote } from '../quote.js'
import { encodeBytes } from './text.js'
import { type MetadataArray, type MetadataTypeName, type MetadataValue, metadataTypeIds } from './types.js'

/** Little-endian bytes that grow as they are written. */
export interface HeaderWriter {
  uint32(value: number): void
  uint64(value: bigint): void
  /** UTF-8 after a 64-bit length, and bytes as decodeBytes has read them. */
  string(text: string): void
  /** A metadata value: its type's number, then the value. */
  value(value: MetadataValue, key: string): void
  /** What was written, padded with zeros to a multiple of `alignment`. */
  finish(alignment: number): Uint8Array
}

/** The error for something that cannot be put into a GGUF file. */
export function cannotWrite(problem: string): FormatError {
  return new FormatError('GGUF_INVALID', { file: 'The file to be written', problem })
}

const integerRanges: Partial<Record<MetadataTypeName, readonly [number | bigint, number | bigint]>> = {
  uint8: [0, 0xff],
  int8: [-0x80, 0x7f],
  uint16: [0, 0xffff],
  int16: [-0x8000, 0x7fff],
  uint32: [0, 0xffffffff],
  int32: [-0x80000000, 0x7fffffff],
  uint64: [0n, 2n ** 64n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
}

/** @throws FormatError GGUF_INVALID, from `value` and `string`, for a value that its type cannot hold. */
export function headerWriter(): HeaderWriter {
  let bytes = Buffer.alloc(2 ** 16)
  let view = new DataView(bytes.buffer, bytes.byteOffset)
  let length = 0

  /** Makes room and returns where it begins. */
  const take = (count: number): number => {
    const start = length
    length += count
    if (length > bytes.byteLength) {
      const larger = Buffer.alloc(Math.max(length, 2 * bytes.byteLength))
      larger.set(bytes)
      bytes = larger
      view = new DataView(bytes.buffer, bytes.byteOffset)
    }
    return start
  }
  // `take` may replace `view`, so it has to come first.
  const put = (count: number, write: (at: number) => void): void => write(take(count))

  const writer: HeaderWriter = {
    uint32: (value) => put(4, (at) => view.setUint32(at, value, true)),
    uint64: (value) => put(8, (at) => view.setBigUint64(at, value, true)),
    string(text) {
      const encoded = encodeBytes(text)
      writer.uint64(BigInt(encoded.byteLength))
      put(encoded.byteLength, (at) => bytes.set(encoded, at))
    },
    value(value, key) {
      writer.uint32(metadataTypeIds[value.type])
      item(value.type, value.type === 'array' ? value : value.value, key)
    },
    finish(alignment) {
      take(alignUp(length, alignment) - length)
      return bytes.subarray(0, length)
    },
  }

  const item = (type: MetadataTypeName, value: MetadataArray['value'][number], key: string): void => {
    checkItem(type, value, key)
    switch (type) {
      case 'uint8':
        return put(1, (at) => view.setUint8(at, value as number))
      case 'int8':
        return put(1, (at) => view.setInt8(at, value as number))
      case 'uint16':
        return put(2, (at) => view.setUint16(at, value as number, true))
      case 'int16':
        return put(2, (at) => view.setInt16(at, value as number, true))
      case 'uint32':
        return writer.uint32(value as number)
      case 'int32':
        return put(4, (at) => view.setInt32(at, value as number, true))
      case 'float32':
        return put(4, (at) => view.setFloat32(at, value as number, true))
      case 'float64':
        return put(8, (at) => view.setFloat64(at, value as number, true))
      case 'uint64':
        return writer.uint64(value as bigint)
      case 'int64':
        return put(8, (at) => view.setBigInt64(at, value as bigint, true))
      case 'bool':
        return put(1, (at) => view.setUint8(at, value === true ? 1 : 0))
      case 'string':
        return writer.string(value as string)
      case 'array': {
        const { elementType, value: items } = value as MetadataArray
        writer.uint32(metadataTypeIds[elementType])
        writer.uint64(BigInt(items.length))
        for (const element of items) item(elementType, element, key)
      }
    }
  }
  return writer
}

/** DataView would wrap a number that does not fit, in silence. */
function checkItem(type: MetadataTypeName, value: MetadataArray['value'][number], key: string): void {
  if (fits(type, value)) return
  const text = typeof value === 'object' ? 'a list' : typeof value === 'string' ? quote(value) : String(value)
  throw cannotWrite(`the metadata ${quote(key)} holds ${text}, which is no ${type}`)
}

function fits(type: MetadataTypeName, value: MetadataArray['value'][number]): boolean {
  const range = integerRanges[type]
  if (range === undefined) return typeof value === javascriptType(type)
  if (typeof value !== typeof range[0]) return false
  const number = value as number | bigint
  return (typeof number === 'bigint' || Number.isInteger(number)) && number >= range[0] && number <= range[1]
}

function javascriptType(type: MetadataTypeName): string {
  return type === 'string' ? 'string' : type === 'bool' ? 'boolean' : type === 'array' ? 'object' : 'number'
}
