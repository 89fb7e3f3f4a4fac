import { rename, rm, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { readFully, writeFully } from '../../../formats/file-bytes.js'
import { checkSpace, checkTarget, partialName, withFile } from '../../files/index.js'
import type { OutputPart } from '../../plan/index.js'

/**
 * The files of an output: creation, renaming and removal. Worker threads write blocks through a Sink (src/engine/executor.ts). Files in place are one
 * implementation, the parts of an upload would be another.
 */
export interface OutputParts {
  /** Paths that tasks write the blocks of each part to. */
  readonly places: readonly string[]
  /** Indices of parts that are finished already, by an earlier run. */
  readonly finished: ReadonlySet<number>
  /** Names of the files that an interrupted run leaves, for a later run to resume or to remove. */
  readonly names: readonly string[]
  /** Files that only this work writes. */
  readonly own: readonly string[]
  /** Checks that the final names are free. @throws MqError OUTPUT_EXISTS, FILE_UNWRITABLE. */
  check(inputs: readonly string[], force: boolean): Promise<void>
  /** Creates each part at its full size with its header. @param keep whether blocks of an earlier run stay. @throws MqError DISK_FULL. */
  prepare(keep: boolean): Promise<void>
  /** Bytes that are not allocated on the disk yet. */
  missingBytes(): Promise<number>
  /** Flushes the blocks to the disk. */
  sync(): Promise<void>
  /** Flushes everything and renames the parts, the first shard last, since programs open a split model by it. */
  finish(): Promise<void>
  /** Removes unfinished files. */
  remove(): Promise<void>
}

/**
 * Files that are written at known offsets, by several threads at once, under partial names.
 * @param path that was asked for; shards are named after it.
 * @param mayBeFinished whether an earlier run has written all blocks, so that it may have ended while it gave the parts their names.
 */
export async function partsInPlace(path: string, parts: readonly OutputPart[], mayBeFinished: boolean): Promise<OutputParts> {
  const partials = parts.map((part) => partialName(part.path))
  const finished = mayBeFinished ? await finishedParts(parts) : new Set<number>()
  const places = parts.map((part, index) => (finished.has(index) ? part.path : (partials[index] as string)))
  const open = [...parts.entries()].filter(([index]) => !finished.has(index))
  const missingBytes = async (): Promise<number> => {
    let missing = 0
    for (const [index, { fileBytes }] of open) {
      const stats = await stat(partials[index] as string).catch(() => undefined)
      missing += Math.max(0, fileBytes - 512 * (stats?.blocks ?? 0))
    }
    return missing
  }
  return {
    places,
    finished,
    names: partials.map((file) => basename(file)),
    own: partials,
    missingBytes,
    async check(inputs, force) {
      for (const [, part] of open) await checkTarget(part.path, inputs, force)
    },
    async prepare(keep) {
      // Emptied before room is asked for: what they hold is of no use.
      if (!keep) for (const file of partials) await withFile(file, 'w', async () => undefined)
      await checkSpace(dirname(path), await missingBytes(), path)
      for (const [index, { header, fileBytes }] of open) await preparePart(partials[index] as string, header, fileBytes)
    },
    async sync() {
      for (const file of places) await withFile(file, 'r+', (handle) => handle.datasync())
    },
    async finish() {
      for (const file of places) await withFile(file, 'r+', (handle) => handle.sync())
      for (const [index, part] of open.toReversed()) await rename(partials[index] as string, part.path)
      await withFile(dirname(path), 'r', (handle) => handle.sync())
    },
    async remove() {
      await Promise.all(partials.map((file) => rm(file, { force: true })))
    },
  }
}

/** Parts with their names, no partial file, and the right size and header. Their blocks are checked like those of any other part. */
async function finishedParts(parts: readonly OutputPart[]): Promise<ReadonlySet<number>> {
  const finished = new Set<number>()
  for (const [index, { path, header, fileBytes }] of parts.entries()) {
    const size = (await stat(path).catch(() => undefined))?.size
    if (size !== fileBytes || (await exists(partialName(path)))) continue
    const front = Buffer.alloc(header.length)
    await withFile(path, 'r', (handle) => readFully(handle, front, 0))
    if (front.equals(header)) finished.add(index)
  }
  return finished
}

async function preparePart(path: string, header: Uint8Array, fileBytes: number): Promise<void> {
  await withFile(path, (await exists(path)) ? 'r+' : 'w', async (file) => {
    await writeFully(file, header, 0)
    await file.truncate(fileBytes)
  })
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
