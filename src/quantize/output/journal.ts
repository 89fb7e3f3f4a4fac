import { type FileHandle, open } from 'node:fs/promises'
import { writeFully } from '../../../formats/file-bytes.js'
import { encodeHead, encodeRecord, type JournalHead, type JournalRecord } from './journal-format.js'
import type { RecordIndex } from './journal-reader.js'

/** A journal that is being written. */
export interface Journal {
  /** Appends a record; it is written asynchronously. @throws the error of an earlier write. */
  append(record: JournalRecord): void
  /** Resolves when all records so far are written; rejects with the error of a write. */
  written(): Promise<void>
  /** Flushes the file to the disk. */
  sync(): Promise<void>
  close(): Promise<void>
}

/**
 * Opens a journal for writing: a new one, or, with `after`, an existing one after its last complete record.
 * @throws Node's own errors.
 */
export async function writeJournal(path: string, head: JournalHead, after?: RecordIndex): Promise<Journal> {
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
        await writeFully(file, bytes, position)
        position += bytes.length
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
