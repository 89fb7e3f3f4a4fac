import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { MqError } from '../errors/index.js'

const chunkBytes = 1 << 20

/**
 * Hashes a file of any size, read in pieces.
 * @returns its SHA-256 in hexadecimal digits, and its size in bytes.
 * @throws MqError FILE_MISSING, FILE_UNREADABLE, INTERRUPTED.
 */
export async function hashFile(
  path: string,
  signal?: AbortSignal,
): Promise<{ readonly sha256: string; readonly sizeBytes: number }> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  try {
    for await (const piece of createReadStream(path, { highWaterMark: chunkBytes, signal }) as AsyncIterable<Buffer>) {
      hash.update(piece)
      sizeBytes += piece.byteLength
    }
  } catch (error) {
    throw MqError.from(error, path)
  }
  return { sha256: hash.digest('hex'), sizeBytes }
}
