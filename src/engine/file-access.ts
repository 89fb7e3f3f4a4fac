import { openSync, read, write } from 'node:fs'
import { promisify } from 'node:util'
import { FormatError } from '../../formats/format-error.js'
import type { FileRange } from '../recipe/index.js'
import type { BufferPool } from './buffer-pool.js'
import type { Sink } from './executor.js'

const readAt = promisify(read)
const writeAt = promisify(write)

/** Files that stay open until the thread ends, which closes them. */
const descriptors = new Map<string, number>()

/**
 * Reads exactly the bytes of a range of one of a blueprint's files.
 * @throws FormatError INPUT_TRUNCATED; Node's own errors, with the path.
 */
export async function readRange(
  files: readonly string[],
  { file, start, end }: FileRange,
  buffers: BufferPool,
): Promise<Uint8Array> {
  const path = files[file]
  if (path === undefined) throw new RangeError(`file ${file} of ${files.length}`)
  const bytes = buffers.bytes(end - start)
  const source = descriptor(path, 'r')
  for (let filled = 0; filled < bytes.byteLength; ) {
    const { bytesRead } = await readAt(source, bytes, filled, bytes.byteLength - filled, start + filled).catch(
      (error: unknown) => {
        // Node's error names no file.
        throw Object.assign(error as Error, { path })
      },
    )
    if (bytesRead === 0) throw new FormatError('INPUT_TRUNCATED', { file: path, wanted: end, present: start + filled })
    filled += bytesRead
  }
  return bytes
}

/** Blocks go to their places in files that are there at their full size already: several threads write one file at once. */
export const filesInPlace: Sink = {
  async put({ output, offset }, blocks) {
    const target = descriptor(output, 'r+')
    for (let written = 0; written < blocks.byteLength; ) {
      const { bytesWritten } = await writeAt(target, blocks, written, blocks.byteLength - written, offset + written)
      written += bytesWritten
    }
  },
}

function descriptor(path: string, flags: 'r' | 'r+'): number {
  const known = descriptors.get(path)
  if (known !== undefined) return known
  const opened = openSync(path, flags)
  descriptors.set(path, opened)
  return opened
}
