import { constants } from 'node:fs'
import { access, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isWritingCall, MqError, problemOfWriting } from '../errors/index.js'

/** The name of a file that is not whole yet. */
export function partialName(path: string): string {
  return `${path}.partial`
}

/**
 * Checks that a file may be written here, which costs nothing: call it before work that takes long, too.
 * @throws MqError OUTPUT_EXISTS, FILE_UNWRITABLE.
 */
export async function checkTarget(path: string, inputs: readonly string[], force: boolean): Promise<void> {
  const folder = dirname(path)
  const folderStats = await statOf(folder)
  if (folderStats === undefined) throw unwritable(path, `the folder ${folder} does not exist`)
  if (!folderStats.isDirectory()) throw unwritable(path, `${folder} is not a folder`)
  await access(folder, constants.W_OK).catch((error: NodeJS.ErrnoException) => {
    throw unwritable(path, problemOfWriting(error.code), error)
  })
  const target = await statOf(path)
  if (target === undefined) return
  if (target.isDirectory()) throw unwritable(path, 'it is a folder')
  for (const input of inputs) {
    // A remote model has no file here.
    const found = await stat(input).catch(() => undefined)
    if (found !== undefined && found.dev === target.dev && found.ino === target.ino)
      throw unwritable(path, 'it is one of the files to be read')
  }
  if (!force) throw MqError.of('OUTPUT_EXISTS', { path })
}

/** The lock of who writes an output; see sharedLock. */
export function lockName(path: string): string {
  return `${partialName(path)}.lock`
}

/** Where the record of finished ranges of an output lies. */
export function journalName(path: string): string {
  return `${partialName(path)}.journal`
}

/**
 * checkTarget for what quantize writes: where an earlier run was ended while it gave the file its name, the file is no obstacle.
 * @throws MqError OUTPUT_EXISTS, FILE_UNWRITABLE.
 */
export async function checkOutput(path: string, inputs: readonly string[], force: boolean): Promise<void> {
  const unfinished = await stat(journalName(path)).then(
    () => true,
    () => false,
  )
  await checkTarget(path, inputs, force || unfinished)
}

/** What a disk has free for a user, in bytes. */
export async function availableBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

/**
 * Checks that there is room for what is to be written.
 * @param folder that is there, on the disk in question.
 * @param needed bytes.
 * @param path that the error names.
 * @throws MqError DISK_FULL.
 */
export async function checkSpace(folder: string, needed: number, path: string = folder): Promise<void> {
  const available = await availableBytes(folder)
  if (available < needed) throw MqError.of('DISK_FULL', { path, needed, available })
}

/** Whether an error says that there is no room: on the disk, or for this user. */
export function isDiskFull(thrown: unknown): boolean {
  const { code } = thrown as NodeJS.ErrnoException
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/**
 * An error of writing as one of the table, with figures for a full disk.
 * @param needed bytes that are still to be written when it is full.
 * @param own files that only this work writes.
 */
export async function writingError(thrown: unknown, path: string, needed: number, own?: ReadonlySet<string>): Promise<MqError> {
  const { code, syscall, path: at } = thrown as NodeJS.ErrnoException
  if (isDiskFull(thrown)) {
    const available = await availableBytes(dirname(path))
    return MqError.of('DISK_FULL', { path, needed, available }, { cause: thrown })
  }
  const isOwn = at !== undefined && own?.has(at) === true
  return isWritingCall(syscall) || isOwn ? unwritable(path, problemOfWriting(code), thrown) : MqError.from(thrown, path)
}

async function statOf(path: string): Promise<Awaited<ReturnType<typeof stat>> | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw unwritable(path, problemOfWriting(code), error)
  }
}

function unwritable(path: string, problem: string, cause?: unknown): MqError {
  return MqError.of('FILE_UNWRITABLE', { path, problem }, cause === undefined ? undefined : { cause })
}
