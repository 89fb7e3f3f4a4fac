import { type FileHandle, open, rename, rm, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MqError } from '../errors.js'

/** A file on its way: under another name until it is whole. */
export interface OutputFile {
  /** Where workers write. */
  readonly partialPath: string
  /** Flushes the file to the disk and gives it its name. */
  commit(): Promise<void>
  /** Removes it. */
  discard(): Promise<void>
}

export interface OutputOptions {
  /** The front of the file, which is written at once. */
  readonly header: Uint8Array
  readonly fileBytes: number
  /** Files that are read while this one is written. */
  readonly inputs: readonly string[]
  /** Replaces a file that is there already. */
  readonly force: boolean
}

/**
 * Begins `PATH.partial` at its full size, header written, the rest zeros.
 * @throws MqError OUTPUT_EXISTS, FILE_UNWRITABLE, DISK_FULL.
 */
export async function beginOutput(path: string, { header, fileBytes, inputs, force }: OutputOptions): Promise<OutputFile> {
  const folder = dirname(path)
  await checkTarget(path, inputs, force)
  const partialPath = partialName(path)
  const discard = (): Promise<void> => rm(partialPath, { force: true })
  try {
    await withFile(partialPath, 'w', async (file) => {
      await checkSpace(path, folder, fileBytes)
      await file.writeFile(header)
      await file.truncate(fileBytes)
    })
  } catch (error) {
    await discard().catch(() => undefined)
    throw await inWords(error, path, fileBytes)
  }
  return {
    partialPath,
    discard,
    async commit() {
      await withFile(partialPath, 'r+', (file) => file.sync())
      await rename(partialPath, path)
      await withFile(folder, 'r', (file) => file.sync())
    },
  }
}

/** System calls that only the output sees. */
const writingCalls: ReadonlySet<string | undefined> = new Set(['write', 'ftruncate', 'fsync', 'rename'])

/** An error of writing as one of the table, with figures for a full disk. Call it when the partial file is gone. */
export async function inWords(thrown: unknown, path: string, fileBytes: number): Promise<MqError> {
  const { code, syscall, path: at } = thrown as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const available = await availableBytes(dirname(path))
    return MqError.of('DISK_FULL', { path, needed: fileBytes, available }, { cause: thrown })
  }
  if (code === 'EFBIG') return unwritable(path, `its disk does not take files of ${fileBytes} bytes`, thrown)
  if (writingCalls.has(syscall) || at === partialName(path)) return unwritable(path, wordsOf(code), thrown)
  return MqError.from(thrown, path)
}

function partialName(path: string): string {
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
  const target = await statOf(path)
  if (target === undefined) return
  if (target.isDirectory()) throw unwritable(path, 'it is a folder')
  for (const input of inputs) {
    const { dev, ino } = await stat(input)
    if (dev === target.dev && ino === target.ino) throw unwritable(path, 'it is one of the files to be read')
  }
  if (!force) throw MqError.of('OUTPUT_EXISTS', { path })
}

async function checkSpace(path: string, folder: string, needed: number): Promise<void> {
  const available = await availableBytes(folder)
  if (needed > available) throw MqError.of('DISK_FULL', { path, needed, available })
}

async function availableBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
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

async function withFile(path: string, flags: string, use: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(path, flags)
  try {
    await use(file)
  } finally {
    await file.close()
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
