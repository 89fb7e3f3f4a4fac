import { type FileHandle, open } from 'node:fs/promises'
import { readFully } from './file-bytes.js'
import { FormatError } from './format-error.js'

/**
 * Bytes that can be read anywhere: a file, an HTTP range, a test buffer. Parsers take nothing else.
 */
export interface ByteSource {
  /** What to call these bytes in a message: a path or an address. */
  readonly name: string
  /** Size in bytes. */
  readonly byteLength: number
  /** Bytes `start` (inclusive) to `end` (exclusive). Never a short read. @throws FormatError INPUT_TRUNCATED. */
  slice(start: number, end: number): Promise<Uint8Array>
  /** Frees what the source holds. A source is not used after it. */
  close(): Promise<void>
}

/** A source over bytes in memory. `slice` returns views, not copies. */
export function bufferSource(bytes: Uint8Array, name = 'buffer'): ByteSource {
  return {
    name,
    byteLength: bytes.byteLength,
    async slice(start, end) {
      checkRange(name, start, end, bytes.byteLength)
      return bytes.subarray(start, end)
    },
    async close() {},
  }
}

/** Opens a local file. @throws Node's own ENOENT, EACCES, EISDIR, which src/errors makes errors of the table. */
export async function fileSource(path: string): Promise<ByteSource> {
  const handle = await open(path, 'r')
  const size = await sizeOfFile(handle, path).catch(async (error: unknown) => {
    await handle.close()
    throw error
  })
  return {
    name: path,
    byteLength: size,
    async slice(start, end) {
      checkRange(path, start, end, size)
      const bytes = new Uint8Array(end - start)
      const filled = await readFully(handle, bytes, start)
      if (filled < bytes.byteLength) throw truncated(path, end, start + filled)
      return bytes
    },
    close: () => handle.close(),
  }
}

async function sizeOfFile(handle: FileHandle, path: string): Promise<number> {
  const found = await handle.stat()
  if (found.isDirectory()) throw Object.assign(new Error(`${path} is a folder`), { code: 'EISDIR', path })
  return found.size
}

function checkRange(name: string, start: number, end: number, byteLength: number): void {
  if (!(start >= 0 && end >= start)) throw new RangeError(`slice(${start}, ${end}) of ${name}`)
  if (end > byteLength) throw truncated(name, end, byteLength)
}

function truncated(name: string, wanted: number, present: number): FormatError {
  return new FormatError('INPUT_TRUNCATED', { file: name, wanted, present })
}
