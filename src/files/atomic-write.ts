import { randomUUID } from 'node:crypto'
import { writeWholeFile } from '../../formats/whole-file.js'
import { writingError } from './output-target.js'

/**
 * Writes a text file, as UTF-8, that gets its name when it is complete, in place of one that is there.
 * @throws MqError FILE_UNWRITABLE, DISK_FULL.
 */
export async function writeWhole(path: string, text: string): Promise<void> {
  const partial = `${path}.${randomUUID()}.partial`
  const bytes = Buffer.from(text)
  try {
    await writeWholeFile(path, (append) => append(bytes), partial)
  } catch (error) {
    throw await writingError(error, path, bytes.byteLength, new Set([partial]))
  }
}
