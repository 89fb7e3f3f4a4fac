import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type { RemoteFile } from './listing.js'

const chunkBytes = 4 << 20

/** A hash of the kind that a remote file has, fed from its first byte on. Git hashes a header before the content. */
export function contentHash({ hash, sizeBytes }: RemoteFile): Hash {
  return hash.algorithm === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${sizeBytes}\0`)
}

/** Feeds the first `length` bytes of a file to a hash. @param options.onBytes called with how many each time. */
export async function hashPrefix(
  path: string,
  length: number,
  hash: Hash,
  { signal, onBytes }: { readonly signal: AbortSignal; readonly onBytes?: (count: number) => void },
): Promise<void> {
  if (length === 0) return
  const pieces = createReadStream(path, { end: length - 1, highWaterMark: chunkBytes, signal })
  for await (const piece of pieces as AsyncIterable<Buffer>) {
    hash.update(piece)
    onBytes?.(piece.byteLength)
  }
}

/** Whether a local file has the remote one's size and content. */
export async function hasContent(
  path: string,
  file: RemoteFile,
  options: { readonly signal: AbortSignal; readonly onBytes?: (count: number) => void },
): Promise<boolean> {
  const hash = contentHash(file)
  await hashPrefix(path, file.sizeBytes, hash, options)
  return hash.digest('hex') === file.hash.value
}
