import type { ByteSource } from '../byte-source.js'
import { FormatError } from '../format-error.js'
import { decodeBytes } from './text.js'

/** A header is read this far at most: ten times what the largest vocabularies need. */
const maxHeaderBytes = 256 * 2 ** 20
const firstSliceBytes = 2 ** 20
/** Values in all arrays of a header together; each costs memory whatever its size in the file. */
const maxArrayValues = 2 ** 23

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads a header from the front, fetching no more of the source than it needs. Parsing code is synchronous and is wrapped in `step`,
 * which fetches and starts the step again whenever it comes to the end of what is there.
 */
export interface HeaderCursor {
  /** Offset of the next byte. */
  readonly position: number
  /** Makes the error for something wrong. */
  fail(problem: string): FormatError
  /** Runs a parser whole, however often its bytes have to be fetched. */
  step<T>(parse: () => T): Promise<T>
  /** The byte order of everything that follows. */
  setByteOrder(order: 'little' | 'big'): void
  /**
   * Checks a count from the file before anything is made for it: that many things, of at least `minimumBytes` each, must fit into the
   * rest of the file.
   */
  checkCount(count: number | bigint, minimumBytes: number, maximum: number, what: string): number
  /** As checkCount, and adds to what all arrays of the header may hold together. */
  checkArrayLength(count: bigint, minimumBytes: number): number
  bytes(length: number): Uint8Array
  /** UTF-8 after a 64-bit length: a name. */
  string(maxBytes: number, what: string): string
  /** The same of a value, which may hold any bytes: see decodeBytes. */
  text(maxBytes: number, what: string): string
  uint8(): number
  int8(): number
  uint16(): number
  int16(): number
  uint32(): number
  int32(): number
  float32(): number
  uint64(): bigint
  int64(): bigint
  float64(): number
}

/** A cursor at the start of a source. */
export function headerCursor(source: ByteSource): HeaderCursor {
  let view = new DataView(new ArrayBuffer(0))
  let position = 0
  let arrayValues = 0
  let littleEndian = true

  const fail = (problem: string): FormatError => new FormatError('GGUF_INVALID', { file: source.name, problem })

  /** Claims the next bytes and returns where they begin. */
  const take = (length: number): number => {
    const start = position
    const end = start + length
    if (end > view.byteLength) throw new NotFetched(end)
    position = end
    return start
  }

  const fetchUntil = async (end: number): Promise<void> => {
    const { byteLength, name } = source
    if (end > byteLength) throw new FormatError('INPUT_TRUNCATED', { file: name, wanted: end, present: byteLength })
    if (end > maxHeaderBytes) throw fail(`its header is longer than ${maxHeaderBytes} bytes`)
    const present = view.byteLength
    const size = Math.min(byteLength, maxHeaderBytes, Math.max(end, firstSliceBytes, 2 * present))
    const bytes = new Uint8Array(size)
    bytes.set(new Uint8Array(view.buffer, view.byteOffset, present))
    bytes.set(await source.slice(present, size), present)
    view = new DataView(bytes.buffer)
  }

  const cursor: HeaderCursor = {
    get position() {
      return position
    },
    fail,
    async step(parse) {
      const start = { position, arrayValues }
      for (;;) {
        try {
          return parse()
        } catch (error) {
          if (!(error instanceof NotFetched)) throw error
          ;({ position, arrayValues } = start)
          await fetchUntil(error.end)
        }
      }
    },
    setByteOrder(order) {
      littleEndian = order === 'little'
    },
    checkCount(count, minimumBytes, maximum, what) {
      if (count > maximum) throw fail(`it claims ${count} ${what}, and at most ${maximum} are allowed`)
      const wanted = position + Number(count) * minimumBytes
      if (wanted > source.byteLength) {
        throw new FormatError('INPUT_TRUNCATED', { file: source.name, wanted, present: source.byteLength })
      }
      return Number(count)
    },
    checkArrayLength(count, minimumBytes) {
      const length = cursor.checkCount(count, minimumBytes, maxArrayValues - arrayValues, 'more values in arrays')
      arrayValues += length
      return length
    },
    bytes(length) {
      const start = take(length)
      return new Uint8Array(view.buffer, start, length)
    },
    string(maxBytes, what) {
      const length = cursor.checkCount(cursor.uint64(), 1, maxBytes, `bytes in ${what}`)
      try {
        return utf8.decode(cursor.bytes(length))
      } catch (error) {
        throw error instanceof NotFetched ? error : fail(`${what} at byte ${position - length} is not UTF-8`)
      }
    },
    text(maxBytes, what) {
      const length = cursor.checkCount(cursor.uint64(), 1, maxBytes, `bytes in ${what}`)
      return decodeBytes(cursor.bytes(length))
    },
    uint8: () => view.getUint8(take(1)),
    int8: () => view.getInt8(take(1)),
    uint16: () => view.getUint16(take(2), littleEndian),
    int16: () => view.getInt16(take(2), littleEndian),
    uint32: () => view.getUint32(take(4), littleEndian),
    int32: () => view.getInt32(take(4), littleEndian),
    float32: () => view.getFloat32(take(4), littleEndian),
    uint64: () => view.getBigUint64(take(8), littleEndian),
    int64: () => view.getBigInt64(take(8), littleEndian),
    float64: () => view.getFloat64(take(8), littleEndian),
  }
  return cursor
}

/** The parser came to the end of what has been fetched. Never leaves this file. */
class NotFetched extends Error {
  readonly end: number

  constructor(end: number) {
    super('not fetched yet')
    this.end = end
  }
}
