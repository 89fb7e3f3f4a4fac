import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type ByteSource, fileSource } from '../../../formats/byte-source.js'
import { MqError } from '../../errors/index.js'

const maxTextBytes = 512 * 2 ** 20

/** Where a checkpoint's files lie: a folder, or a repository that is read from afar. */
export interface CheckpointFolder {
  /** What to call it in messages; its last part is the model's name. */
  readonly path: string
  /** The path or address of one of its files. */
  pathOf(name: string): string
  names(): Promise<readonly string[]>
  open(name: string): Promise<ByteSource>
  /** The text of a small file; undefined where there is none. */
  readText(name: string): Promise<string | undefined>
}

/** A folder on this machine. */
export function localFolder(path: string): CheckpointFolder {
  const pathOf = (name: string): string => join(path, name)
  return {
    path,
    pathOf,
    names: () => readdir(path),
    open: (name) => fileSource(pathOf(name)),
    async readText(name) {
      const file = pathOf(name)
      const found = await stat(file).catch(() => undefined)
      if (found === undefined || !found.isFile()) return undefined
      if (found.size > maxTextBytes) throw MqError.of('CONFIG_INVALID', { file, problem: `it has ${found.size} bytes` })
      return readFile(file, 'utf8')
    },
  }
}
