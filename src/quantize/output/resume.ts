import { type FileHandle, open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { readFully } from '../../../formats/file-bytes.js'
import type { QuantizeTask } from '../../engine/index.js'
import { MqError } from '../../errors/index.js'
import { writtenBytes } from '../tasks.js'
import type { JournalRecord } from './journal-format.js'
import { openRecords, type RecordIndex } from './journal-reader.js'

/** A task that an earlier run has finished. */
export interface EarlierTask {
  readonly task: QuantizeTask
  readonly record: JournalRecord
  /** Whether the bytes match the journal's checksum. */
  readonly intact: boolean
}

/**
 * Verifies the output of an earlier run against its journal, task by task in the order of the file.
 * @throws MqError INTERRUPTED.
 */
export async function* earlierTasks(
  tasks: Iterable<QuantizeTask>,
  journal: RecordIndex,
  options: { readonly signal: AbortSignal | undefined; readonly what: string },
): AsyncGenerator<EarlierTask, void, void> {
  const { signal, what } = options
  const records = await openRecords(journal)
  let current: OpenPart | undefined
  let buffer = Buffer.alloc(0)
  try {
    for (const task of tasks) {
      const record = await records.read(task.number)
      if (record === undefined) continue
      if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what })
      if (current?.path !== task.output) {
        await current?.file.close()
        current = await openPart(task.output)
      }
      const length = writtenBytes(task)
      if (buffer.length < length) buffer = Buffer.alloc(length)
      const bytes = buffer.subarray(0, length)
      yield {
        task,
        record,
        intact: (await readFully(current.file, bytes, task.offset)) === length && crc32(bytes) === record.checksum,
      }
    }
  } finally {
    await records.close()
    await current?.file.close()
  }
}

interface OpenPart {
  readonly path: string
  readonly file: FileHandle
}

async function openPart(path: string): Promise<OpenPart> {
  return { path, file: await open(path, 'r') }
}
