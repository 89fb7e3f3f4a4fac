import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { readFully, writeFully } from '../../../formats/file-bytes.js'
import type { MqError } from '../../errors/index.js'
import { checkSpace, checkTarget, inWords, journalName, partialName } from '../../files/index.js'
import type { OutputLayout, OutputPart } from '../../plan/index.js'
import { type Journal, writeJournal } from './journal.js'
import { findJournal, indexRecords, type RecordIndex } from './journal-reader.js'

/** Output files in progress, under partial names until all are complete. */
export interface Output {
  /** Where the bytes of each part are: its partial file, or, if an earlier run got so far, the file itself. */
  readonly paths: readonly string[]
  /** Indices of parts that have their names already. */
  readonly named: ReadonlySet<number>
  readonly journal: Journal
  /** What an earlier run of the same work has left. */
  readonly earlier: RecordIndex | undefined
  /** Notes for the user. */
  readonly notes: readonly string[]
  /** Flushes data, then the journal, so that a power cut costs no more than what came after. */
  sync(): Promise<void>
  /** Flushes the files to the disk and gives them their names: the first shard last, since it stands for all of them. */
  commit(): Promise<void>
  /** Keeps the partial output for a later run. */
  keep(): Promise<void>
  /** Removes everything. */
  discard(): Promise<void>
  /** An error of the work in words. */
  inWords(thrown: unknown): Promise<MqError>
}

export interface OutputOptions {
  /** The path that was asked for: shards have other names, journal and lock go by this one. */
  readonly path: string
  readonly layout: OutputLayout
  readonly identity: string
  /** Of the work. */
  readonly taskCount: number
  /** Files that are read while these are written. */
  readonly inputs: readonly string[]
  /** Replaces files that are there already. */
  readonly force: boolean
  /** Discards the partial output of an earlier run. */
  readonly fresh: boolean
}

/**
 * Creates the partial files at their full size, headers written, the rest zeros; or continues with those of an earlier run, if its journal
 * has the same identity.
 * @throws MqError OUTPUT_EXISTS, FILE_UNWRITABLE, DISK_FULL.
 */
export async function beginOutput(options: OutputOptions): Promise<Output> {
  const { path, layout, identity, taskCount, inputs, force, fresh } = options
  const { parts } = layout
  const folder = dirname(path)
  const journalPath = journalName(path)
  const partials = parts.map((part) => partialName(part.path))
  const own = new Set([...partials, journalPath])
  const words = async (thrown: unknown): Promise<MqError> => inWords(thrown, path, await missingBytes(parts), own)

  const notes: string[] = []
  const found = await findJournal(journalPath)
  const earlier = found?.identity === identity && !fresh ? await indexRecords(found, taskCount) : undefined
  const named = await alreadyNamed(parts, earlier, taskCount)
  for (const [index, part] of parts.entries()) {
    if (!named.has(index)) await checkTarget(part.path, inputs, force)
  }
  const remove = async (): Promise<void> => {
    await Promise.all([...own].map((file) => rm(file, { force: true })))
  }
  if (found !== undefined && earlier === undefined) {
    for (const name of found.partials) {
      if (name === basename(name) && name.endsWith('.partial')) await rm(join(folder, name), { force: true })
    }
    if (!fresh) notes.push('The partial output of an earlier run, of another model, plan or version, was discarded.')
  }

  let records: Journal
  try {
    // Emptied before room is asked for: what they hold is of no use.
    if (earlier === undefined) for (const file of partials) await withFile(file, 'w', async () => undefined)
    const needed = await missingBytes(parts.filter((_, index) => !named.has(index)))
    await checkSpace(folder, needed, path)
    for (const [index, { header, fileBytes }] of parts.entries()) {
      if (!named.has(index)) await prepare(partials[index] as string, header, fileBytes)
    }
    records = await writeJournal(journalPath, { identity, partials: partials.map((file) => basename(file)) }, earlier)
  } catch (error) {
    const inTable = await words(error)
    if (earlier === undefined) await remove().catch(() => undefined)
    throw inTable
  }

  const paths = parts.map((part, index) => (named.has(index) ? part.path : (partials[index] as string)))
  return {
    paths,
    named,
    journal: records,
    earlier,
    notes,
    inWords: words,
    async sync() {
      for (const file of new Set(paths)) await withFile(file, 'r+', (handle) => handle.datasync())
      await records.sync()
    },
    async commit() {
      await records.written()
      for (const file of paths) await withFile(file, 'r+', (handle) => handle.sync())
      await records.sync()
      for (const [index, part] of [...parts.entries()].reverse()) {
        if (!named.has(index)) await rename(partials[index] as string, part.path)
      }
      await withFile(folder, 'r', (handle) => handle.sync())
      await records.close()
      await rm(journalPath, { force: true })
    },
    keep: () => records.close(),
    async discard() {
      await records.close()
      await remove()
    },
  }
}

/**
 * Parts that have their names already, because the earlier run ended while it gave them: all tasks done, no partial file, and a file of
 * the right size and header. Their bytes are checked like those of any other part.
 */
async function alreadyNamed(
  parts: readonly OutputPart[],
  earlier: RecordIndex | undefined,
  taskCount: number,
): Promise<ReadonlySet<number>> {
  const named = new Set<number>()
  if (earlier === undefined || earlier.size < taskCount) return named
  for (const [index, { path, header, fileBytes }] of parts.entries()) {
    const size = (await stat(path).catch(() => undefined))?.size
    if (size !== fileBytes || (await exists(partialName(path)))) continue
    const front = Buffer.alloc(header.length)
    await withFile(path, 'r', (handle) => readFully(handle, front, 0))
    if (front.equals(header)) named.add(index)
  }
  return named
}

async function prepare(path: string, header: Uint8Array, fileBytes: number): Promise<void> {
  await withFile(path, (await exists(path)) ? 'r+' : 'w', async (file) => {
    await writeFully(file, header, 0)
    await file.truncate(fileBytes)
  })
}

/** Bytes that the disk has yet to give to files. */
async function missingBytes(parts: readonly OutputPart[]): Promise<number> {
  let missing = 0
  for (const { path, fileBytes } of parts) {
    const stats = await stat(partialName(path)).catch(() => undefined)
    missing += Math.max(0, fileBytes - 512 * (stats?.blocks ?? 0))
  }
  return missing
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

async function withFile(path: string, flags: string, use: (file: FileHandle) => Promise<unknown>): Promise<void> {
  const file = await open(path, flags)
  try {
    await use(file)
  } finally {
    await file.close()
  }
}
