import { crc32 } from 'node:zlib'
import * as v from 'valibot'
import { type ErrorSums, listOfSums, noErrorSums, sumsLength, sumsOfList } from '../../engine/index.js'

/** Record of a finished task. */
export interface JournalRecord {
  /** Number of the task among all tasks of the output. */
  readonly task: number
  /** CRC-32 of the bytes written. */
  readonly checksum: number
  readonly seconds: number
  /** Absent where nothing was measured. */
  readonly sums?: ErrorSums
}

/** Head of a journal. */
export interface JournalHead {
  /** Digest of everything that the bytes depend on: see identity.ts. */
  readonly identity: string
  /** Names of the unfinished files, in the folder of the journal. */
  readonly partials: readonly string[]
}

// The file: 8 bytes of magic; length and CRC-32 of the head, u32 each; the head as JSON; records of one size. A record: task number and
// checksum, u32; seconds and the sums, f64; 1 where there are sums, u32; CRC-32 of all before it in the record, u32. Little-endian.
const magic = 'mqjrnl1\n'
/** Size of the part before the head, in bytes. */
export const frontBytes = magic.length + 8
/** Size of each record, in bytes. */
export const recordBytes = 8 + 8 * (1 + sumsLength) + 8

const headSchema = v.object({ identity: v.string(), partials: v.array(v.string()) })

/** Encodes the front and the head. */
export function encodeHead({ identity, partials }: JournalHead): Uint8Array {
  const json = Buffer.from(JSON.stringify({ identity, partials }))
  const front = Buffer.alloc(frontBytes)
  front.write(magic, 'latin1')
  front.writeUInt32LE(json.length, magic.length)
  front.writeUInt32LE(crc32(json), magic.length + 4)
  return Buffer.concat([front, json])
}

/** Size and checksum of the head, from the front; undefined if the bytes are no front. */
export function readFront(front: Buffer): { readonly headBytes: number; readonly checksum: number } | undefined {
  if (front.toString('latin1', 0, magic.length) !== magic) return undefined
  return { headBytes: front.readUInt32LE(magic.length), checksum: front.readUInt32LE(magic.length + 4) }
}

/** Decodes a head; undefined if the bytes are no head. */
export function decodeHead(bytes: Uint8Array, checksum: number): JournalHead | undefined {
  if (crc32(bytes) !== checksum) return undefined
  try {
    return v.parse(headSchema, JSON.parse(Buffer.from(bytes).toString()))
  } catch {
    return undefined
  }
}

/** The bytes of a record. */
export function encodeRecord({ task, checksum, seconds, sums }: JournalRecord): Uint8Array {
  const bytes = Buffer.alloc(recordBytes)
  let at = bytes.writeUInt32LE(task)
  at = bytes.writeUInt32LE(checksum, at)
  at = bytes.writeDoubleLE(seconds, at)
  for (const sum of listOfSums(sums ?? noErrorSums)) at = bytes.writeDoubleLE(sum, at)
  at = bytes.writeUInt32LE(sums === undefined ? 0 : 1, at)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, at)), at)
  return bytes
}

/** Task number of the record at `at`; undefined if the record is incomplete or damaged. */
export function taskOfRecord(bytes: Buffer, at: number): number | undefined {
  const end = at + recordBytes - 4
  return crc32(bytes.subarray(at, end)) === bytes.readUInt32LE(end) ? bytes.readUInt32LE(at) : undefined
}

/** Decodes the record at `at`, which is intact. */
export function decodeRecord(bytes: Buffer, at: number): JournalRecord {
  const list = Array.from({ length: sumsLength }, (_, index) => bytes.readDoubleLE(at + 16 + 8 * index))
  return {
    task: bytes.readUInt32LE(at),
    checksum: bytes.readUInt32LE(at + 4),
    seconds: bytes.readDoubleLE(at + 8),
    sums: bytes.readUInt32LE(at + 16 + 8 * sumsLength) === 0 ? undefined : sumsOfList(list),
  }
}
