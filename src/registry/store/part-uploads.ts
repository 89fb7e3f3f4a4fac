import { createHash } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { writeFully } from '../../../formats/file-bytes.js'
import { MqError } from '../../errors/index.js'
import { checkSpace, isDiskFull, writingError } from '../../files/index.js'
import { adoptBlob } from './blobs.js'
import type { Pin } from './pins.js'
import type { Room } from './quota.js'
import type { Store } from './store.js'
import { blobsDirectory } from './store.js'
import { temporaryPath } from './temporary.js'

const readBytes = 1 << 20

/** Upload of a blob in parts of equal size, the last one smaller, in any order. */
export interface PartUpload {
  readonly sizeBytes: number
  readonly partBytes: number
  readonly parts: number
  /**
   * Writes a part, counted from 1. A part that exists already is read and kept.
   * @returns false where the body does not have the length of that part.
   * @throws MqError UPLOAD_REFUSED where it stalls or another request writes it, DISK_FULL.
   */
  write(part: number, body: AsyncIterable<Uint8Array>): Promise<boolean>
  /** Completes the blob. @returns `missing` where parts are missing and may follow, `other` where the digest differs and nothing is stored. */
  finish(pin: Pin): Promise<'stored' | 'missing' | 'other'>
  cancel(): Promise<void>
}

/** Announced upload. */
export interface PartRequest {
  readonly repository: string
  readonly digest: string
  readonly sizeBytes: number
  readonly partBytes: number
}

interface Kept extends PartUpload {
  touchedAt: number
}

/** Uploads in parts of a server. */
export interface PartUploads {
  readonly size: number
  begin(request: PartRequest): Promise<PartUpload>
  find(repository: string, digest: string): PartUpload | undefined
  values(): Iterable<Kept>
}

/** Creates the uploads in parts of a server. @param room quota, charged with the whole blob when its upload begins. */
export function createPartUploads(store: Store, room: Room): PartUploads {
  const uploads = new Map<string, Kept>()
  const keyOf = (repository: string, digest: string): string => `${repository} ${digest}`
  return {
    get size() {
      return uploads.size
    },
    async begin(request) {
      const key = keyOf(request.repository, request.digest)
      const upload = await openParts(store, room, request, () => uploads.delete(key))
      uploads.set(key, upload)
      return upload
    },
    find: (repository, digest) => uploads.get(keyOf(repository, digest)),
    values: () => [...uploads.values()],
  }
}

async function openParts(store: Store, room: Room, request: PartRequest, forget: () => void): Promise<Kept> {
  const { digest, sizeBytes, partBytes } = request
  await checkSpace(blobsDirectory(store), sizeBytes, `${store.directory} (for an upload)`)
  room.take(sizeBytes)
  const path = await temporaryPath(store, 'upload')
  const handle = await open(path, 'wx+').catch((error: unknown) => {
    room.end(sizeBytes, false)
    throw error
  })
  const parts = Math.ceil(sizeBytes / partBytes)
  const written = new Set<number>()
  const writing = new Set<number>()
  const hash = createHash('sha256')
  let [ended, finishing] = [false, false]
  let hashed = 0
  // A part is hashed as soon as all before it are written, so that little work is left at the end.
  let hashing: Promise<unknown> = Promise.resolve()
  const hasEnded = (): boolean => ended
  const hashOn = async (): Promise<void> => {
    for (; written.has(hashed + 1); hashed++) {
      if (hasEnded()) return
      await hashRange(handle, hash, hashed * partBytes, Math.min(sizeBytes, (hashed + 1) * partBytes))
    }
  }
  const end = async (isStored: boolean): Promise<void> => {
    if (!ended) room.end(sizeBytes, isStored)
    ended = true
    forget()
    await hashing.catch(() => undefined)
    await handle.close().catch(() => undefined)
  }
  const upload: Kept = {
    sizeBytes,
    partBytes,
    parts,
    touchedAt: Date.now(),
    async write(part, body) {
      const start = (part - 1) * partBytes
      const wanted = Math.min(partBytes, sizeBytes - start)
      if (writing.has(part)) throw MqError.of('UPLOAD_REFUSED', { problem: 'another request writes this part' })
      const isThere = written.has(part)
      writing.add(part)
      let length = 0
      try {
        for await (const chunk of body) {
          if (length + chunk.byteLength > wanted || ended) return false
          if (!isThere) await writeFully(handle, chunk, start + length)
          length += chunk.byteLength
          upload.touchedAt = Date.now()
        }
      } catch (error) {
        throw isDiskFull(error) ? await writingError(error, path, start + length) : error
      } finally {
        writing.delete(part)
      }
      if (length !== wanted || ended) return false
      written.add(part)
      hashing = hashing.then(hashOn)
      hashing.catch(() => undefined)
      return true
    },
    async finish(pin) {
      if (written.size < parts || ended || finishing) return 'missing'
      finishing = true
      upload.touchedAt = Number.POSITIVE_INFINITY
      await hashing
      const isRight = `sha256:${hash.digest('hex')}` === digest
      await end(isRight)
      try {
        if (!isRight) return 'other'
        await pin.add(digest)
        await adoptBlob(store, path, digest)
        return 'stored'
      } finally {
        await rm(path, { force: true })
      }
    },
    async cancel() {
      await end(false)
      await rm(path, { force: true })
    },
  }
  return upload
}

async function hashRange(handle: FileHandle, hash: ReturnType<typeof createHash>, from: number, to: number): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.min(readBytes, to - from))
  for (let at = from; at < to; ) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.byteLength, to - at), at)
    if (bytesRead === 0) throw MqError.of('UPLOAD_REFUSED', { problem: 'its file was cut off' })
    hash.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
}
