import { once } from 'node:events'
import { type FileHandle, open } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { MqError } from '../../errors/index.js'

/** Consecutive bytes of what is sent: of a file, or in memory. */
export type Segment =
  | { readonly path: string; readonly digest: string; readonly fileBytes: number; readonly start: number; readonly end: number }
  | { readonly bytes: Uint8Array }

/** What all responses together may hold in memory, as far as their chunks are above the least size. */
const bufferBudget = 48 << 20
const [leastChunkBytes, mostChunkBytes] = [64 << 10, 1 << 20]

let running = 0

/** The segment of a whole file. */
export function wholeFile(path: string, digest: string, fileBytes: number): Segment {
  return { path, digest, fileBytes, start: 0, end: fileBytes }
}

/**
 * Sends the bytes from `start` to `end` (exclusive) of a list of segments, and ends the response. A client that goes away is no error.
 * @param begin sends the headers; called when the first file is open.
 * @throws MqError REGISTRY_CORRUPT where the first file is missing or has another size; later ones cut the response off.
 */
export async function sendSegments(
  outgoing: ServerResponse,
  segments: readonly Segment[],
  start: number,
  end: number,
  begin: () => unknown,
): Promise<void> {
  let [at, hasBegun] = [0, false]
  running++
  try {
    for (const segment of segments) {
      const length = 'bytes' in segment ? segment.bytes.byteLength : segment.end - segment.start
      const [from, to] = [Math.max(start - at, 0), Math.min(end - at, length)]
      at += length
      if (from >= to) continue
      if ('bytes' in segment) {
        if (!hasBegun) begin()
        hasBegun = true
        if (!(await write(outgoing, segment.bytes.subarray(from, to)))) return
        continue
      }
      const handle = await openFile(segment)
      try {
        if (!hasBegun) begin()
        hasBegun = true
        if (!(await sendRange(outgoing, handle, segment.start + from, segment.start + to))) return
      } finally {
        await handle.close()
      }
    }
    outgoing.end()
  } catch (error) {
    if (!hasBegun) throw error
    // The length was announced: a connection that is cut off says that something is missing.
    outgoing.destroy()
  } finally {
    running--
  }
}

/** Reads a chunk while the one before is written; false where the client has gone. */
async function sendRange(outgoing: ServerResponse, handle: FileHandle, from: number, to: number): Promise<boolean> {
  let writing: Promise<boolean> = Promise.resolve(true)
  for (let at = from; at < to; ) {
    const share = Math.floor(bufferBudget / 2 / running)
    const chunkBytes = Math.min(mostChunkBytes, Math.max(leastChunkBytes, share), to - at)
    const buffer = Buffer.allocUnsafeSlow(chunkBytes)
    const { bytesRead } = await handle.read(buffer, 0, chunkBytes, at)
    if (bytesRead === 0) throw new RangeError('the file was cut off')
    if (!(await writing)) return false
    writing = write(outgoing, bytesRead === chunkBytes ? buffer : buffer.subarray(0, bytesRead))
    at += bytesRead
  }
  return writing
}

/** Writes and waits until more is wanted; false where the client has gone. */
async function write(outgoing: ServerResponse, bytes: Uint8Array): Promise<boolean> {
  if (outgoing.destroyed || outgoing.writableEnded) return false
  if (outgoing.write(bytes)) return true
  const gone = new AbortController()
  const onClose = (): void => gone.abort()
  outgoing.once('close', onClose)
  try {
    await once(outgoing, 'drain', { signal: gone.signal })
    return true
  } catch {
    return false
  } finally {
    outgoing.off('close', onClose)
  }
}

async function openFile(segment: Exclude<Segment, { bytes: Uint8Array }>): Promise<FileHandle> {
  const { path, digest, fileBytes } = segment
  const corrupt = (problem: string): MqError => MqError.of('REGISTRY_CORRUPT', { path, problem })
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? corrupt(`the blob ${digest} is missing`) : error
  })
  const { size } = await handle.stat()
  if (size === fileBytes) return handle
  await handle.close()
  throw corrupt(`the blob ${digest} has ${size} bytes where ${fileBytes} are expected`)
}
