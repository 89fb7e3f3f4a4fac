import { closeSync, openSync, read, write } from 'node:fs'
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
  readonly descriptor: number
  read(bytes: Uint8Array, at: number, length: number, position: number): Promise<{ bytesRead: number }>
  write(bytes: Uint8Array, at: number, length: number, position: number): Promise<{ bytesWritten: number }>
}

/**
 * A blueprint's files and the files that are written, each opened when it is first used. Output files exist at their full
 * size already, so that several threads write to one file at once.
 */
export interface OpenFiles extends Sink {
  /**
   * Reads exactly the bytes of a range of one of the blueprint's files.
   * @throws FormatError INPUT_TRUNCATED; Node's own errors, with the path.
   */
  read(range: FileRange, buffers: BufferPool): Promise<Uint8Array>
  /** Closes them all. */
  close(): void
}

/** @param paths Blueprint.files. */
export function newOpenFiles(paths: readonly string[]): OpenFiles {
  const open = new Map<string, OpenFile>()
  const openFile = (path: string, flags: 'r' | 'r+'): OpenFile => {
    const known = open.get(path)
    if (known !== undefined) return known
    const descriptor = openSync(path, flags)
    const opened: OpenFile = {
      descriptor,
      read: (...range) => readAt(descriptor, ...range),
      write: (...range) => writeAt(descriptor, ...range),
    }
    open.set(path, opened)
    return opened
  }
  return {
    async read({ file, start, end }, buffers) {
      const path = paths[file]
      if (path === undefined) throw new RangeError(`file ${file} of ${paths.length}`)
      const bytes = buffers.bytes(end - start)
      const filled = await readFully(openFile(path, 'r'), bytes, start).catch((error: unknown) => {
        // Node's error names no file.
        throw Object.assign(error as Error, { path })
      })
      if (filled < bytes.byteLength)
        throw new FormatError('INPUT_TRUNCATED', { file: path, wanted: end, present: start + filled })
      return bytes
    },
    put: ({ output, offset }, blocks) => writeFully(openFile(output, 'r+'), blocks, offset),
    close() {
      for (const { descriptor } of open.values()) closeSync(descriptor)
      open.clear()
    },
  }
}
