import { constants } from 'node:fs'
import { access, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MqError } from '../errors/index.js'

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
    throw unwritable(path, wordsOf(error.code), error)
  })
  const target = await statOf(path)
  if (target === undefined) return
  if (target.isDirectory()) throw unwritable(path, 'it is a folder')
  for (const input of inputs) {
    // A model that is read from afar has no file here.
    const found = await stat(input).catch(() => undefined)
    if (found !== undefined && found.dev === target.dev && found.ino === target.ino)
      throw unwritable(path, 'it is one of the files to be read')
  }
  if (!force) throw MqError.of('OUTPUT_EXISTS', { path })
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

/** System calls that only the output sees. */
const writingCalls: ReadonlySet<string | undefined> = new Set(['write', 'ftruncate', 'fsync', 'fdatasync', 'rename', 'symlink'])

/**
 * An error of writing as one of the table, with figures for a full disk.
 * @param needed bytes that are still to be written when it is full.
 * @param own files that only this work writes.
 */
export async function inWords(thrown: unknown, path: string, needed: number, own?: ReadonlySet<string>): Promise<MqError> {
  const { code, syscall, path: at } = thrown as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const available = await availableBytes(dirname(path))
    return MqError.of('DISK_FULL', { path, needed, available }, { cause: thrown })
  }
  if (code === 'EFBIG') return unwritable(path, 'its disk does not take files so large', thrown)
  if (writingCalls.has(syscall) || (at !== undefined && own?.has(at) === true)) return unwritable(path, wordsOf(code), thrown)
  return MqError.from(thrown, path)
}

async function statOf(path: string): Promise<Awaited<ReturnType<typeof stat>> | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw unwritable(path, wordsOf(code), error)
  }
}

const words: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'its disk is read-only',
  ENOENT: 'its folder does not take files',
  ENOTDIR: 'part of its path is not a folder',
  ENAMETOOLONG: 'its name is too long',
  EIO: 'its disk reports an error',
}

function wordsOf(code: string | undefined): string {
  return words[code ?? ''] ?? code ?? 'for no known reason'
}

function unwritable(path: string, problem: string, cause?: unknown): MqError {
  return MqError.of('FILE_UNWRITABLE', { path, problem }, cause === undefined ? undefined : { cause })
}
