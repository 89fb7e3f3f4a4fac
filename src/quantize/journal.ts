import { type FileHandle, open, readFile, stat } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import * as v from 'valibot'
import { type ErrorSums, listOfSums, noErrorSums, sumsLength, sumsOfList } from './statistics.js'

/** What is known of a range of rows that was written. */
export interface JournalRecord {
  /** The task's number among all of the output. */
  readonly task: number
  /** CRC-32 of the bytes written. */
  readonly checksum: number
  readonly seconds: number
  /** Absent where nothing was measured. */
  readonly sums?: ErrorSums
}

/** What a journal is of. */
export interface JournalHead {
  /** Digest of everything that the bytes depend on: see identity.ts. */
  readonly identity: string
  /** Names of the unfinished files, which lie beside the journal. */
  readonly partials: readonly string[]
}

/** The journal that an earlier run has left. */
export interface FoundJournal extends JournalHead {
  /** How many tasks have a record. */
  readonly size: number
  /** The latest record of a task. */
  get(task: number): JournalRecord | undefined
  /** Bytes up to the end of the last whole record. */
  readonly byteLength: number
}

/** A journal that is being written. */
export interface Journal {
  /** Adds a record, which is on its way to the file when this returns. @throws what an earlier write has failed with. */
  append(record: JournalRecord): void
  /** Resolves when every record so far is in the file; rejects with what a write has failed with. */
  written(): Promise<void>
  /** Flushes the file to the disk. */
  sync(): Promise<void>
  close(): Promise<void>
}

// The file: 8 bytes of magic; length and CRC-32 of the head, u32 each; the head as JSON; records of one size. A record: task number and
// checksum, u32; seconds and the sums, f64; 1 where there are sums, u32; CRC-32 of all before it in the record, u32. Little-endian.
const magic = 'mqjrnl1\n'
const frontBytes = magic.length + 8
/** Of each record. */
export const recordBytes = 8 + 8 * (1 + sumsLength) + 8
/** A record stands for at least some 100 KB of output: this is a journal of more than any disk holds. */
const maxJournalBytes = 2 ** 30

const headSchema = v.object({ identity: v.string(), partials: v.array(v.string()) })

/** Reads the journal at `path`; undefined where there is none, or what is there is not one. A torn or damaged record counts for nothing. */
export async function readJournal(path: string): Promise<FoundJournal | undefined> {
  const size = await stat(path).then(
    (stats) => stats.size,
    () => 0,
  )
  if (size < frontBytes || size > maxJournalBytes) return undefined
  const bytes = await readFile(path)
  const headLength = bytes.readUInt32LE(magic.length)
  const start = frontBytes + headLength
  const headBytes = bytes.subarray(frontBytes, start)
  if (bytes.toString('latin1', 0, magic.length) !== magic || bytes.length < start) return undefined
  if (crc32(headBytes) !== bytes.readUInt32LE(magic.length + 4)) return undefined
  const head = parseHead(headBytes.toString())
  if (head === undefined) return undefined

  const records = Math.floor((bytes.length - start) / recordBytes)
  const places = new Map<number, number>()
  for (let at = start; at < start + records * recordBytes; at += recordBytes) {
    const end = at + recordBytes - 4
    if (crc32(bytes.subarray(at, end)) === bytes.readUInt32LE(end)) places.set(bytes.readUInt32LE(at), at)
  }
  return {
    ...head,
    size: places.size,
    byteLength: start + records * recordBytes,
    get(task) {
      const at = places.get(task)
      return at === undefined ? undefined : decodeRecord(bytes, at)
    },
  }
}

/**
 * Opens a journal for writing: a new one, or, with `after`, one that was found, behind its last whole record.
 * @throws Node's own errors.
 */
export async function writeJournal(path: string, head: JournalHead, after?: FoundJournal): Promise<Journal> {
  const file = await open(path, after === undefined ? 'w' : 'r+')
  try {
    if (after !== undefined) {
      await file.truncate(after.byteLength)
      return journalIn(file, after.byteLength)
    }
    const front = encodeHead(head)
    await file.writeFile(front)
    return journalIn(file, front.length)
  } catch (error) {
    await file.close()
    throw error
  }
}

function journalIn(file: FileHandle, start: number): Journal {
  let position = start
  let waiting: Uint8Array[] = []
  let writing: Promise<void> | undefined
  let failure: unknown

  // Records that come while some are being written go together in the next write.
  const write = async (): Promise<void> => {
    try {
      while (waiting.length > 0) {
        const bytes = Buffer.concat(waiting)
        waiting = []
        for (let written = 0; written < bytes.length; ) {
          const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position)
          written += bytesWritten
          position += bytesWritten
        }
      }
    } catch (error) {
      failure = error
    }
    writing = undefined
  }
  return {
    append(record) {
      if (failure !== undefined) throw failure
      waiting.push(encodeRecord(record))
      writing ??= write()
    },
    async written() {
      await writing
      if (failure !== undefined) throw failure
    },
    sync: () => file.datasync(),
    async close() {
      await writing
      await file.close()
    },
  }
}

function encodeHead({ identity, partials }: JournalHead): Uint8Array {
  const json = Buffer.from(JSON.stringify({ identity, partials }))
  const front = Buffer.alloc(frontBytes)
  front.write(magic, 'latin1')
  front.writeUInt32LE(json.length, magic.length)
  front.writeUInt32LE(crc32(json), magic.length + 4)
  return Buffer.concat([front, json])
}

function parseHead(json: string): JournalHead | undefined {
  try {
    return v.parse(headSchema, JSON.parse(json))
  } catch {
    return undefined
  }
}

function encodeRecord({ task, checksum, seconds, sums }: JournalRecord): Uint8Array {
  const bytes = Buffer.alloc(recordBytes)
  let at = bytes.writeUInt32LE(task)
  at = bytes.writeUInt32LE(checksum, at)
  at = bytes.writeDoubleLE(seconds, at)
  for (const sum of listOfSums(sums ?? noErrorSums)) at = bytes.writeDoubleLE(sum, at)
  at = bytes.writeUInt32LE(sums === undefined ? 0 : 1, at)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, at)), at)
  return bytes
}

function decodeRecord(bytes: Buffer, at: number): JournalRecord {
  const list = Array.from({ length: sumsLength }, (_, index) => bytes.readDoubleLE(at + 16 + 8 * index))
  return {
    task: bytes.readUInt32LE(at),
    checksum: bytes.readUInt32LE(at + 4),
    seconds: bytes.readDoubleLE(at + 8),
    ...(bytes.readUInt32LE(at + 16 + 8 * sumsLength) === 0 ? {} : { sums: sumsOfList(list) }),
  }
}
