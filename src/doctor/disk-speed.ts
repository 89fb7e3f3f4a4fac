import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

const chunkBytes = 4 << 20
const alignment = 4096
/** Read at most so much, and so long. */
const maxBytes = 1 << 30
const maxMs = 2000

export interface DiskSpeed {
  readonly bytesPerSecond: number
  /** Whether the system's cache was left out; where it could not be, the figure may be that of memory. */
  readonly isDirect: boolean
}

/** Speed of reading a file from its beginning on, past the system's cache where that can be; undefined where it is too short to say. */
export async function diskSpeed(path: string): Promise<DiskSpeed | undefined> {
  const direct = await openDirect(path)
  const file = direct?.file ?? (await open(path, 'r'))
  const buffer = direct?.buffer ?? Buffer.allocUnsafe(chunkBytes)
  try {
    const startedAt = performance.now()
    let read = 0
    while (read < maxBytes && performance.now() - startedAt < maxMs) {
      const { bytesRead } = await file.read(buffer, 0, chunkBytes, read)
      read += bytesRead
      if (bytesRead < chunkBytes) break
    }
    const seconds = (performance.now() - startedAt) / 1000
    return read < 4 * chunkBytes ? undefined : { bytesPerSecond: read / seconds, isDirect: direct !== undefined }
  } finally {
    await file.close()
  }
}

/** Opens a file past the cache, with a buffer where the disk can write to; undefined where system or file system have no such thing. */
async function openDirect(path: string): Promise<{ file: FileHandle; buffer: Buffer } | undefined> {
  if (process.platform !== 'linux') return undefined
  const file = await open(path, constants.O_RDONLY | constants.O_DIRECT).catch(() => undefined)
  if (file === undefined) return undefined
  const memory = Buffer.allocUnsafeSlow(chunkBytes + alignment)
  // Its address is not known: of all places, one is aligned.
  for (let offset = 0; offset < alignment; offset += 8) {
    const buffer = memory.subarray(offset, offset + chunkBytes)
    const isThere = await file.read(buffer, 0, alignment, 0).then(
      () => true,
      () => false,
    )
    if (isThere) return { file, buffer }
  }
  await file.close()
  return undefined
}
