import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { MqError } from '../../errors/index.js'
import { hashFile, sharedLock, writeWhole } from '../../files/index.js'
import type { Json, Unit, UnitKind } from '../graph/step.js'

const recordSchema = v.object({
  version: v.literal(1),
  key: v.string(),
  unit: v.looseObject({ kind: v.string() }),
  files: v.array(v.object({ name: v.string(), sizeBytes: v.number(), sha256: v.string() })),
  result: v.unknown(),
  seconds: v.number(),
})

/** A file that a step made. */
export interface StoredFile {
  readonly name: string
  readonly sizeBytes: number
  readonly sha256: string
}

/** What a step has made, and what it found. */
export interface StepRecord {
  readonly key: string
  readonly files: readonly StoredFile[]
  /** Where the files are. */
  readonly folder: string
  readonly result: Json
  /** Of the run that finished it. */
  readonly seconds: number
}

/** What running a unit has made: names of files in its folder. */
export interface Made {
  readonly files: readonly string[]
  readonly result: Json
  readonly seconds: number
}

/** Results of steps, by the digests of their units, in a folder. */
export interface WorkFolder {
  readonly path: string
  /** The folder of a unit's files, which a run that was cut off goes on with. Who computes the unit there makes it. */
  folderOf(kind: UnitKind, key: string): string
  /** The record of a unit that is done: all of its files are there, each with its size. */
  find(kind: UnitKind, key: string): Promise<StepRecord | undefined>
  /** Flushes files to the disk, then writes the record: from then on the unit is done, whatever happens. */
  commit(unit: Unit, key: string, made: Made): Promise<StepRecord>
  /** A folder of its own for one of several that may run the same unit; what is in it is published, or discarded. */
  beginAttempt(kind: UnitKind, key: string, attempt: string): Promise<string>
  /** As `commit`, in the folder of an attempt. */
  commitAttempt(unit: Unit, key: string, attempt: string, made: Made): Promise<StepRecord>
  /** Gives an attempt that was committed the place of the unit's result, unless that is there by now: the bytes are the same. */
  publishAttempt(kind: UnitKind, key: string, attempt: string): Promise<StepRecord>
  discardAttempt(kind: UnitKind, key: string, attempt: string): Promise<void>
  /** Removes the result of a unit. */
  remove(kind: UnitKind, key: string): Promise<void>
  /** Removes the folders of all units but these; returns how many. */
  prune(keys: ReadonlySet<string>): Promise<number>
}

const recordName = 'step.json'

/** A work folder. Nothing is made until a result is. */
export function workFolder(path: string): WorkFolder {
  const steps = join(path, 'steps')
  // Few enough characters for a path, and far too many for two units to meet.
  const folderOf = (kind: UnitKind, key: string): string => join(steps, `${kind}-${key.slice(0, 24)}`)
  const attemptOf = (kind: UnitKind, key: string, attempt: string): string => `${folderOf(kind, key)}.${attempt}`
  return {
    path,
    folderOf,
    find: (kind, key) => readRecord(folderOf(kind, key), key),
    commit: (unit, key, made) => writeRecord(folderOf(unit.kind, key), unit, key, made),
    async beginAttempt(kind, key, attempt) {
      const folder = attemptOf(kind, key, attempt)
      await rm(folder, { recursive: true, force: true })
      return makeFolder(folder)
    },
    commitAttempt: (unit, key, attempt, made) => writeRecord(attemptOf(unit.kind, key, attempt), unit, key, made),
    async publishAttempt(kind, key, attempt) {
      const [from, to] = [attemptOf(kind, key, attempt), folderOf(kind, key)]
      for (let tries = 0; ; tries++) {
        const known = await readRecord(to, key)
        if (known !== undefined) {
          await rm(from, { recursive: true, force: true })
          return known
        }
        // What a run that was cut off has left there.
        await rm(to, { recursive: true, force: true })
        try {
          await rename(from, to)
          await flush(steps).catch(() => {})
          return (await readRecord(to, key)) as StepRecord
        } catch (error) {
          // Another was faster: its result is looked at.
          if (tries >= 3) throw MqError.from(error, to)
        }
      }
    },
    discardAttempt: (kind, key, attempt) => rm(attemptOf(kind, key, attempt), { recursive: true, force: true }),
    remove: (kind, key) => rm(folderOf(kind, key), { recursive: true, force: true }),
    async prune(keys) {
      const kept = new Set([...keys].map((key) => key.slice(0, 24)))
      const names = await readdir(steps).catch(() => [])
      const others = names.filter((name) => !kept.has(name.slice(name.lastIndexOf('-') + 1)))
      for (const name of others) await rm(join(steps, name), { recursive: true, force: true })
      return others.length
    },
  }
}

/**
 * Reads a result once more, for what leaves the work folder. One that was damaged since it was written is removed, and so made again.
 * @throws MqError FILE_UNREADABLE where it was; INTERRUPTED.
 */
export async function checkResult({ folder, files }: StepRecord, signal?: AbortSignal): Promise<void> {
  for (const { name, sha256 } of files) {
    const path = join(folder, name)
    if ((await hashFile(path, signal)).sha256 === sha256) continue
    await rm(folder, { recursive: true, force: true })
    const problem = 'it was damaged since it was written, and is removed; the next run makes it again'
    throw MqError.of('FILE_UNREADABLE', { path, problem })
  }
}

/** Makes a folder, and those around it. @throws MqError FILE_UNWRITABLE, DISK_FULL. */
export async function makeFolder(folder: string): Promise<string> {
  try {
    await mkdir(folder, { recursive: true })
    return folder
  } catch (error) {
    throw MqError.from(error, folder)
  }
}

/** The record of a folder whose files are all there, each with its size. */
async function readRecord(folder: string, key: string): Promise<StepRecord | undefined> {
  try {
    const record = v.parse(recordSchema, JSON.parse(await readFile(join(folder, recordName), 'utf8')))
    if (record.key !== key) return undefined
    for (const { name, sizeBytes } of record.files) if ((await stat(join(folder, name))).size !== sizeBytes) return undefined
    const { files, result, seconds } = record
    return { key, files, folder, result: result as Json, seconds }
  } catch {
    return undefined
  }
}

async function writeRecord(
  folder: string,
  unit: Unit,
  key: string,
  { files: names, result, seconds }: Made,
): Promise<StepRecord> {
  const files: StoredFile[] = []
  for (const name of names) {
    await flush(join(folder, name))
    files.push({ name, ...(await hashFile(join(folder, name))) })
  }
  await flush(folder).catch(() => {})
  const record = { version: 1, key, unit, files, result, seconds }
  await writeWhole(join(folder, recordName), `${JSON.stringify(record, undefined, 2)}\n`)
  return { key, files, folder, result, seconds }
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Keeps other builds out of a work folder.
 * @returns what releases it.
 * @throws MqError BUILD_BUSY, FILE_UNWRITABLE.
 */
export async function lockWork(path: string): Promise<() => Promise<void>> {
  const lock = join(path, 'build.lock')
  try {
    await mkdir(path, { recursive: true })
    const held = await sharedLock(lock)()
    if (held === undefined) throw MqError.of('BUILD_BUSY', { path, lock })
    return () => held.release()
  } catch (error) {
    throw MqError.from(error, path)
  }
}
