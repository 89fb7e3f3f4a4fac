import { lstat, readdir, readFile, readlink, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type ByteSource, fileSource } from '../../../formats/byte-source.js'
import { FormatError } from '../../../formats/format-error.js'
import { isLfsPointer } from '../../../formats/lfs-pointer.js'
import { MqError } from '../../errors/index.js'

/** Where transformers keeps chat templates besides the usual one. */
export const templateFolder = 'additional_chat_templates'

const maxSmallFileBytes = 512 * 2 ** 20

/** Where a checkpoint's files lie: a folder, or a repository that is read over the network. */
export interface CheckpointFolder {
  /** What to call it in messages. */
  readonly path: string
  /** The model's name, `ORG/NAME` or `NAME`, where its place says it; undefined where it says none. */
  readonly modelId: string | undefined
  /** The path or address of one of its files. */
  pathOf(name: string): string
  /** Of its files; those of additional_chat_templates with that folder before them. */
  names(): Promise<readonly string[]>
  open(name: string): Promise<ByteSource>
  /** The bytes of a small file; undefined where there is none. */
  readBytes(name: string): Promise<Uint8Array | undefined>
}

/** A folder on this machine. */
export function localFolder(path: string): CheckpointFolder {
  const pathOf = (name: string): string => join(path, name)
  return {
    path,
    modelId: modelIdOf(path),
    pathOf,
    async names() {
      const names = await readdir(path)
      if (!names.includes(templateFolder)) return names
      const templates = await readdir(pathOf(templateFolder)).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOTDIR') return []
        throw MqError.from(error, pathOf(templateFolder))
      })
      return [...names, ...templates.map((name) => `${templateFolder}/${name}`)]
    },
    open: async (name) => {
      await exists(pathOf(name))
      return fileSource(pathOf(name))
    },
    async readBytes(name) {
      const file = pathOf(name)
      if (!(await exists(file))) return undefined
      const found = await stat(file)
      if (found.isDirectory()) throw MqError.of('FILE_UNREADABLE', { path: file, problem: 'it is a folder' })
      return checkSmallFile(file, found.size, () => readFile(file))
    },
  }
}

/**
 * The bytes of a file other than weights.
 * @throws MqError CONFIG_INVALID where it is far too large; FormatError LFS_POINTER.
 */
export async function checkSmallFile(file: string, sizeBytes: number, read: () => Promise<Uint8Array>): Promise<Uint8Array> {
  if (sizeBytes > maxSmallFileBytes) {
    throw MqError.of('CONFIG_INVALID', {
      file,
      problem: `it has ${sizeBytes} bytes, and at most ${maxSmallFileBytes} are read`,
      advice: `Download ${file} again`,
    })
  }
  const bytes = await read()
  if (isLfsPointer(bytes, sizeBytes)) throw MqError.from(new FormatError('LFS_POINTER', { file }))
  return bytes
}

/**
 * The folder that holds a checkpoint's files. For a repository in the cache of huggingface_hub, `models--ORG--NAME`, that is the snapshot
 * which `refs/main` names, or the only one.
 * @throws MqError CHECKPOINT_EMPTY where it has several snapshots and none is the main one.
 */
export async function checkpointFolderOf(path: string): Promise<string> {
  const names = await readdir(path)
  if (basename(path) === 'snapshots' && !names.includes('config.json')) return checkpointFolderOf(dirname(path))
  if (names.includes('config.json') || !names.includes('snapshots')) return path
  const snapshots = await readdir(join(path, 'snapshots'))
  const main = await readFile(join(path, 'refs', 'main'), 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  )
  const chosen = snapshots.length === 1 ? snapshots[0] : snapshots.find((name) => name === main)
  if (chosen !== undefined) return join(path, 'snapshots', chosen)
  throw MqError.of('CHECKPOINT_EMPTY', {
    path,
    problem:
      snapshots.length === 0
        ? 'its snapshots folder is empty'
        : `it holds several snapshots, of which one has to be given: ${snapshots.join(', ')}`,
  })
}

/** Whether a file or folder is there. @throws MqError LINK_DANGLING, FILE_UNREADABLE. */
export async function exists(path: string): Promise<boolean> {
  const ifMissing = (error: NodeJS.ErrnoException): undefined => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw MqError.from(error, path)
  }
  const entry = await lstat(path).catch(ifMissing)
  if (entry === undefined) return false
  if (!entry.isSymbolicLink() || (await stat(path).catch(ifMissing)) !== undefined) return true
  throw MqError.of('LINK_DANGLING', { path, target: await readlink(path) })
}

/**
 * The name that a folder's path gives a model: that of the folder, ORG/NAME for one in the cache of huggingface_hub
 * (`models--ORG--NAME/snapshots/COMMIT`), and never the hash of a commit.
 */
export function modelIdOf(path: string): string | undefined {
  const name = basename(path)
  const cached = /^models--(?:(.+?)--)?(.+)$/.exec(name)
  if (cached !== null) return [cached[1], cached[2]].filter((part) => part !== undefined).join('/')
  if (name === '') return undefined
  const parent = dirname(path)
  if (isHash(name)) return basename(parent) === 'snapshots' ? modelIdOf(dirname(parent)) : undefined
  return name
}

/** Whether a name is that of a commit or of a blob. */
export function isHash(name: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/i.test(name)
}
