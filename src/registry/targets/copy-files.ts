import { constants, copyFile, mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MqError } from '../../errors/index.js'
import { checkSpace, hashFile, writeWhole } from '../../files/index.js'
import type { WithProgress } from '../../progress/index.js'
import type { Bundle, BundleFile } from './bundle.js'
import { cardMark } from './card.js'

/** The folder that files were copied to, and their names. */
export interface CopiedFiles {
  readonly folder: string
  readonly files: readonly string[]
}

/**
 * Copies a model's files into a folder, with its card and SHA256SUMS. Each file is copied (cloned where the file system supports it), checked
 * against its hash, and then renamed; an existing one with the same size and hash is kept, as is a card of the user's own.
 * @throws MqError OUTPUT_EXISTS where a file with other content exists and `force` is not set; DISK_FULL, FILE_UNWRITABLE, INTERRUPTED.
 */
export async function* copyFiles(
  bundle: Bundle,
  folder: string,
  { force = false, signal }: { readonly force?: boolean; readonly signal?: AbortSignal | undefined } = {},
): WithProgress<CopiedFiles> {
  const all: BundleFile[] = [...bundle.files, ...bundle.attachments]
  const total = all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw MqError.from(error, folder)
  })
  let done = 0
  for (const file of all) {
    yield { stage: 'publish', done, total, unit: 'bytes', item: file.name }
    await copyInto(join(folder, file.name), file, force, signal)
    done += file.sizeBytes
  }
  const card = join(folder, 'README.md')
  const present = await textOr(card, cardMark)
  if (present.includes(cardMark) || force) await writeWhole(card, bundle.card)
  const sums = join(folder, 'SHA256SUMS')
  await writeWhole(sums, sumsWith(await textOr(sums, ''), all))
  return { folder, files: [...all.map(({ name }) => join(folder, name)), card, sums] }
}

async function copyInto(path: string, file: BundleFile, force: boolean, signal: AbortSignal | undefined): Promise<void> {
  const present = await stat(path).catch(() => undefined)
  const isSame = present?.size === file.sizeBytes && (await hashFile(path, signal)).sha256 === file.sha256
  if (isSame) return
  if (present !== undefined && !force) throw MqError.of('OUTPUT_EXISTS', { path })
  await mkdir(dirname(path), { recursive: true })
  if ('text' in file) return writeWhole(path, file.text)
  await checkSpace(dirname(path), file.sizeBytes, path)
  const temporary = `${path}.partial`
  try {
    await copyFile(file.path, temporary, constants.COPYFILE_FICLONE)
    const { sha256 } = await hashFile(temporary, signal)
    if (sha256 !== file.sha256) throw MqError.of('FILE_UNREADABLE', { path: file.path, problem: 'it changed while it was read' })
    await rename(temporary, path)
  } catch (error) {
    throw MqError.from(error, path)
  } finally {
    await rm(temporary, { force: true })
  }
}

/** Reads a text file. @returns `none` where it does not exist. @throws MqError FILE_UNREADABLE and similar. */
export function textOr(path: string, none: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return none
    throw MqError.from(error, path)
  })
}

/** Updates SHA256SUMS with lines for these files, and keeps those of other files. @param before the existing text. */
export function sumsWith(before: string, files: readonly BundleFile[]): string {
  const names = new Set(files.map(({ name }) => name))
  const others = before.split('\n').filter((line) => /^[0-9a-f]{64} [ *]./.test(line) && !names.has(line.slice(66)))
  const lines = [...others, ...files.map(({ sha256, name }) => `${sha256}  ${name}`)]
  return `${lines.toSorted((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join('\n')}\n`
}
