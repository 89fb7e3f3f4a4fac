import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { MqError } from '../errors/index.js'

/**
 * Writes a text file that has its name only when it is whole, in place of one that is there.
 * @throws MqError FILE_UNWRITABLE, DISK_FULL.
 */
export async function writeWhole(path: string, text: string): Promise<void> {
  const partial = `${path}.${randomUUID()}.partial`
  try {
    const file = await open(partial, 'wx')
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(partial, path)
  } catch (error) {
    await rm(partial, { force: true })
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOSPC' || code === 'EDQUOT') throw MqError.from(error, path)
    const problem = { ENOENT: 'its folder does not exist', EISDIR: 'it is a folder', EACCES: 'permission denied' }[String(code)]
    throw MqError.of('FILE_UNWRITABLE', { path, problem: problem ?? String(code) }, { cause: error })
  }
}
