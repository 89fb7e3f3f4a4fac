import { type FileHandle, open } from 'node:fs/promises'
import { readFully } from '../../../formats/file-bytes.js'
import {
  decodeHead,
  decodeRecord,
  frontBytes,
  type JournalHead,
  type JournalRecord,
  readFront,
  recordBytes,
  taskOfRecord,
} from './journal-format.js'

// A journal of a model of 671 billion weights has 2.6 million records, 290 MB. What is held of it is where each task's record stands, in
// 4 bytes; the records are read when their tasks are looked at, which come in nearly the same order.

/** Journal of an earlier run. */
export interface FoundJournal extends JournalHead {
  readonly path: string
  /** First byte of the records. */
  readonly start: number
  /** Bytes up to the end of the last complete record. */
  readonly byteLength: number
}

/** Where the records of a journal are. */
export interface RecordIndex extends FoundJournal {
  /** How many tasks have a record. */
  readonly size: number
  /** By task: 1 + the index of its latest record, 0 where there is none. */
  readonly places: Uint32Array
}

/** Reads records by the number of their task. */
export interface RecordReader {
  /** The latest record of a task. @throws Node's own errors. */
  read(task: number): Promise<JournalRecord | undefined>
  close(): Promise<void>
}

/** Upper limit of a journal, in bytes: with at least 100 KB of output for each record, more than any disk holds. */
const maxJournalBytes = 2 ** 30
/** Records read at a time: 57 KB. */
const recordsAtOnce = 512

/** Looks for a journal at `path`; undefined where there is none, or what is there is not one. */
export async function findJournal(path: string): Promise<FoundJournal | undefined> {
  const file = await open(path, 'r').catch(() => undefined)
  if (file === undefined) return undefined
  try {
    const { size } = await file.stat()
    if (size < frontBytes || size > maxJournalBytes) return undefined
    const front = readFront(await readBytes(file, 0, Buffer.alloc(frontBytes)))
    const start = frontBytes + (front?.headBytes ?? 0)
    if (front === undefined || size < start) return undefined
    const head = decodeHead(await readBytes(file, frontBytes, Buffer.alloc(front.headBytes)), front.checksum)
    if (head === undefined) return undefined
    return { ...head, path, start, byteLength: start + Math.floor((size - start) / recordBytes) * recordBytes }
  } finally {
    await file.close()
  }
}

/**
 * Reads the positions of all records of a journal. Incomplete and damaged records are ignored.
 * @param taskCount number of tasks; records of tasks beyond are ignored.
 * @throws Node's own errors.
 */
export async function indexRecords(journal: FoundJournal, taskCount: number): Promise<RecordIndex> {
  const records = (journal.byteLength - journal.start) / recordBytes
  const places = new Uint32Array(taskCount)
  let size = 0
  const buffer = Buffer.alloc(recordsAtOnce * recordBytes)
  const file = await open(journal.path, 'r')
  try {
    for (let first = 0; first < records; first += recordsAtOnce) {
      const bytes = await readRecords(file, journal, first, buffer)
      for (let at = 0; at < bytes.length; at += recordBytes) {
        const task = taskOfRecord(bytes, at)
        if (task === undefined || task >= taskCount) continue
        if (places[task] === 0) size += 1
        places[task] = first + at / recordBytes + 1
      }
    }
  } finally {
    await file.close()
  }
  return { ...journal, size, places }
}

/** Opens the records of a journal. A few are in memory at a time: read them in about the order in which they were written. */
export async function openRecords(index: RecordIndex): Promise<RecordReader> {
  const file = await open(index.path, 'r')
  const buffer = Buffer.alloc(recordsAtOnce * recordBytes)
  let first = 0
  let bytes = buffer.subarray(0, 0)
  return {
    async read(task) {
      const place = (index.places[task] ?? 0) - 1
      if (place < 0) return undefined
      if (place < first || place >= first + bytes.length / recordBytes) {
        // From a little before: several threads wrote them, so that the next may stand there.
        first = Math.max(0, place - recordsAtOnce / 4)
        bytes = await readRecords(file, index, first, buffer)
      }
      return decodeRecord(bytes, (place - first) * recordBytes)
    },
    close: () => file.close(),
  }
}

/** Reads as many records as `buffer` has room for and the journal has. */
async function readRecords(
  file: FileHandle,
  { start, byteLength }: FoundJournal,
  first: number,
  buffer: Buffer<ArrayBuffer>,
): Promise<Buffer<ArrayBuffer>> {
  const from = start + first * recordBytes
  return readBytes(file, from, buffer.subarray(0, Math.min(byteLength - from, buffer.length)))
}

/** Fills `bytes`; no other process writes while the lock is held. */
async function readBytes(file: FileHandle, position: number, bytes: Buffer<ArrayBuffer>): Promise<Buffer<ArrayBuffer>> {
  const filled = await readFully(file, bytes, position)
  if (filled < bytes.length)
    throw new RangeError(`a file ends at ${position + filled} where ${position + bytes.length} was its size`)
  return bytes
}
