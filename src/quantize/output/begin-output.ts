import { rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { MqError } from '../../errors/index.js'
import { type HeldLock, journalName, lockName, writingError } from '../../files/index.js'
import type { OutputLayout } from '../../plan/index.js'
import { type Journal, writeJournal } from './journal.js'
import { findJournal, indexRecords, type RecordIndex } from './journal-reader.js'
import { partsInPlace } from './parts-in-place.js'

/** An output in progress: its parts, and the journal of finished tasks. */
export interface Output {
  /** Paths that tasks write the blocks of each part to; the finished file if an earlier run has renamed it. */
  readonly paths: readonly string[]
  /** Indices of parts that are renamed already. */
  readonly named: ReadonlySet<number>
  readonly journal: Journal
  /** Finished tasks of an earlier run of the same work. */
  readonly earlier: RecordIndex | undefined
  /** Notes for the user. */
  readonly notes: readonly string[]
  /** Flushes data, then the journal, so that a power cut loses only later tasks. @throws MqError OUTPUT_BUSY. */
  sync(): Promise<void>
  /** Flushes everything to the disk and renames the files. @throws MqError OUTPUT_BUSY where another process has taken over. */
  commit(): Promise<void>
  /** Keeps the partial output for a later run. */
  keep(): Promise<void>
  /** Removes everything, unless another process has taken over. */
  discard(): Promise<void>
  /** An error of the work as one of the table. */
  errorOf(thrown: unknown): Promise<MqError>
}

function discarded(isSameWork: boolean): string {
  return isSameWork
    ? 'The partial output of an earlier run, which may not have ended, was discarded.'
    : 'The partial output of an earlier run, of another model, plan or version, was discarded.'
}

/** The output to write, and whether existing files are overwritten. */
export interface OutputOptions {
  /** The requested path: shards have names derived from it; journal and lock are named after it. */
  readonly path: string
  readonly lock: HeldLock
  readonly layout: OutputLayout
  readonly identity: string
  /** Of the work. */
  readonly taskCount: number
  /** Files that are read while these are written. */
  readonly inputs: readonly string[]
  /** Overwrites existing files. */
  readonly force: boolean
  /** Discards the partial output of an earlier run. */
  readonly fresh: boolean
}

/**
 * Creates the parts at their full size, headers written, the rest zeros; or continues with those of an earlier run, if its journal has the
 * same identity.
 * @throws MqError OUTPUT_EXISTS, FILE_UNWRITABLE, DISK_FULL.
 */
export async function beginOutput(options: OutputOptions): Promise<Output> {
  const { path, lock, layout, identity, taskCount, inputs, force, fresh } = options
  const journalPath = journalName(path)
  const notes: string[] = []
  const found = await findJournal(journalPath)
  // Its last holder may be alive, on a machine that cannot be asked: what it still writes must not be what is read here.
  const usable = found?.identity === identity && !fresh && lock.takenFrom !== 'silent'
  const earlier = found !== undefined && usable ? await indexRecords(found, taskCount) : undefined
  const parts = await partsInPlace(path, layout.parts, earlier !== undefined && earlier.size === taskCount)
  const own = new Set([...parts.own, journalPath])
  const errorOf = async (thrown: unknown): Promise<MqError> => writingError(thrown, path, await parts.missingBytes(), own)
  const remove = async (): Promise<void> => {
    await parts.remove()
    await rm(journalPath, { force: true })
  }
  const confirm = async (): Promise<void> => {
    if (!(await lock.isHeld())) throw MqError.of('OUTPUT_BUSY', { path, lock: lockName(path) })
  }

  await parts.check(inputs, force)
  if (found !== undefined && earlier === undefined) {
    for (const name of found.partials) {
      if (name === basename(name) && name.endsWith('.partial')) await rm(join(dirname(path), name), { force: true })
    }
    if (!fresh) notes.push(discarded(found.identity === identity))
  }
  if (lock.takenFrom === 'silent') await remove()

  let records: Journal
  try {
    await parts.prepare(earlier !== undefined)
    records = await writeJournal(journalPath, { identity, partials: parts.names }, earlier)
  } catch (error) {
    const known = await errorOf(error)
    if (earlier === undefined) await remove().catch(() => undefined)
    throw known
  }
  return {
    paths: parts.places,
    named: parts.finished,
    journal: records,
    earlier,
    notes,
    errorOf,
    async sync() {
      await confirm()
      await parts.sync()
      await records.sync()
    },
    async commit() {
      await records.written()
      await records.sync()
      await confirm()
      await parts.finish()
      await records.close()
      await rm(journalPath, { force: true })
    },
    keep: () => records.close(),
    async discard() {
      await records.close()
      if (await lock.isHeld()) await remove()
    },
  }
}
