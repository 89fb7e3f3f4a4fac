import { createHash, type Hash } from 'node:crypto'
import { open } from 'node:fs/promises'
import type { RemoteFile } from './listing.js'

const chunkBytes = 4 << 20

/** A hash of the kind that a remote file has, fed from its first byte on. Git hashes a header before the content. */
export function contentHash({ hash, sizeBytes }: RemoteFile): Hash {
  return hash.algorithm === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${sizeBytes}\0`)
}

/** Feeds the first `length` bytes of a file to a hash. `onBytes` hears how many each time. */
export async function hashPrefix(
  path: string,
  length: number,
  hash: Hash,
  { signal, onBytes }: { readonly signal: AbortSignal; readonly onBytes?: (count: number) => void },
): Promise<void> {
  if (length === 0) return
  const handle = await open(path, 'r')
  try {
    const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, length))
    for (let done = 0; done < length; ) {
      signal.throwIfAborted()
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.byteLength, length - done), done)
      if (bytesRead === 0) return
      hash.update(buffer.subarray(0, bytesRead))
      done += bytesRead
      onBytes?.(bytesRead)
    }
  } finally {
    await handle.close()
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
