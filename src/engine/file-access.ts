import { openSync, read, write } from 'node:fs'
import { promisify } from 'node:util'
import { readFully, writeFully } from '../../formats/file-bytes.js'
import { FormatError } from '../../formats/format-error.js'
import type { FileRange } from '../recipe/index.js'
import type { BufferPool } from './buffer-pool.js'
import type { Sink } from './executor.js'

const readAt = promisify(read)
const writeAt = promisify(write)

/** A file by its descriptor. */
interface OpenFile {
  read(bytes: Uint8Array, at: number, length: number, position: number): Promise<{ bytesRead: number }>
  write(bytes: Uint8Array, at: number, length: number, position: number): Promise<{ bytesWritten: number }>
}

/** Files that stay open until the thread ends, which closes them. */
const openFiles = new Map<string, OpenFile>()

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
  const filled = await readFully(openFile(path, 'r'), bytes, start).catch((error: unknown) => {
    // Node's error names no file.
    throw Object.assign(error as Error, { path })
  })
  if (filled < bytes.byteLength) throw new FormatError('INPUT_TRUNCATED', { file: path, wanted: end, present: start + filled })
  return bytes
}

/** Blocks go to their places in files that are there at their full size already: several threads write one file at once. */
export const filesInPlace: Sink = {
  put: ({ output, offset }, blocks) => writeFully(openFile(output, 'r+'), blocks, offset),
}

function openFile(path: string, flags: 'r' | 'r+'): OpenFile {
  const known = openFiles.get(path)
  if (known !== undefined) return known
  const descriptor = openSync(path, flags)
  const opened: OpenFile = {
    read: (...range) => readAt(descriptor, ...range),
    write: (...range) => writeAt(descriptor, ...range),
  }
  openFiles.set(path, opened)
  return opened
}
