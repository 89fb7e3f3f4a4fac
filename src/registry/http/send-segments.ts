import { type FileHandle, open } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { MqError } from '../../errors/index.js'
import { canSendDirectly, sendDirectly } from './system-send.js'

/** Consecutive bytes of a response body: of a file, or in memory. */
export type Segment =
  | { readonly path: string; readonly digest: string; readonly fileBytes: number; readonly start: number; readonly end: number }
  | { readonly bytes: Uint8Array }

/** Memory limit in bytes for the chunks of all responses together, except those of the minimum size. */
const bufferBudget = 32 << 20
const [minChunkBytes, maxChunkBytes] = [64 << 10, 128 << 10]
/** Bytes of free buffers that are kept for later responses. */
const keptBytes = 16 << 20

let running = 0

/** Returns the segment of a whole file. */
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
    // The length was sent already: closing the connection tells the client that bytes are missing.
    outgoing.destroy()
  } finally {
    running--
  }
}

/** Reads a chunk while the one before is written; false where the client has gone. */
async function sendRange(outgoing: ServerResponse, handle: FileHandle, from: number, to: number): Promise<boolean> {
  const share = Math.floor(bufferBudget / 2 / running)
  const chunkBytes = Math.min(maxChunkBytes, Math.max(minChunkBytes, 2 ** Math.floor(Math.log2(share))))
  const buffers = [takeBuffer(chunkBytes), takeBuffer(chunkBytes)]
  let writing: Promise<boolean> = Promise.resolve(true)
  try {
    for (let at = from, turn = 0; at < to; turn++) {
      const buffer = buffers[turn % 2] as Buffer
      // Its write was started two iterations ago and awaited in the last one.
      const { bytesRead } = await handle.read(buffer, 0, Math.min(chunkBytes, to - at), at)
      if (bytesRead === 0) throw new RangeError('the file was cut off')
      if (!(await writing)) return false
      writing = write(outgoing, buffer.subarray(0, bytesRead))
      at += bytesRead
      if (canSendDirectly(outgoing)) {
        // The chunk has been sent, so the connection accepts more.
        if (!(await writing)) return false
        // Yields to other connections where a client is as fast as this loop.
        for (let [sent, turns] = [1, 4]; sent > 0 && turns > 0 && at < to; turns--) {
          sent = sendDirectly(outgoing, handle, at, to - at)
          at += sent
        }
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    return await writing
  } finally {
    // Buffers of a disconnected client may still be in use by the socket: they are not reused.
    if (await Promise.race([writing, Promise.resolve(false)])) for (const buffer of buffers) giveBack(buffer)
  }
}

/** Free buffers by size: allocating one costs more than reading into it, since the system clears its pages. */
const free = new Map<number, Buffer[]>()

function takeBuffer(bytes: number): Buffer {
  return free.get(bytes)?.pop() ?? Buffer.allocUnsafeSlow(bytes)
}

function giveBack(buffer: Buffer): void {
  const list = free.get(buffer.byteLength) ?? []
  free.set(buffer.byteLength, list)
  const kept = [...free.values()].reduce((sum, { length }, index) => sum + length * ([...free.keys()][index] ?? 0), 0)
  if (kept + buffer.byteLength <= keptBytes) list.push(buffer)
}

/** Writes, and waits until the bytes have left the buffer; false where the client has gone. */
function write(outgoing: ServerResponse, bytes: Uint8Array): Promise<boolean> {
  if (outgoing.destroyed || outgoing.writableEnded) return Promise.resolve(false)
  return new Promise((resolve) => {
    const gone = (): void => resolve(false)
    outgoing.once('close', gone)
    outgoing.write(bytes, (error) => {
      outgoing.off('close', gone)
      resolve(!error)
    })
  })
}

async function openFile(segment: Exclude<Segment, { bytes: Uint8Array }>): Promise<FileHandle> {
  const { path, digest, fileBytes } = segment
  const corrupt = (problem: string): MqError => MqError.of('REGISTRY_CORRUPT', { path, problem })
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? corrupt(`the blob ${digest} is missing`) : error
  })
  const size = await handle.stat().then(
    ({ size }) => size,
    async (error: unknown) => {
      await handle.close()
      throw error
    },
  )
  if (size === fileBytes) return handle
  await handle.close()
  throw corrupt(`the blob ${digest} has ${size} bytes where ${fileBytes} are expected`)
}
