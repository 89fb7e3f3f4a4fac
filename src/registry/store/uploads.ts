import { createHash, type Hash, randomUUID } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { writeFully } from '../../../formats/file-bytes.js'
import { MqError } from '../../errors/index.js'
import { isDiskFull, writingError } from '../../files/index.js'
import { adoptBlob } from './blobs.js'
import { createPartUploads, type PartUpload } from './part-uploads.js'
import type { Pin } from './pins.js'
import { createRoom, type Room } from './quota.js'
import type { Store } from './store.js'
import { temporaryPath } from './temporary.js'

const maxUploads = 256
/** Minimum bytes per minute of a request body; a slower one counts as stalled. */
const fewestBytes = 4096

/** Upload of a blob, which becomes visible when its digest is verified. */
export interface Upload {
  readonly id: string
  /** `NAMESPACE/NAME` of its repository. */
  readonly repository: string
  /** Bytes received. */
  readonly size: number
  /** Appends a body. @throws MqError UPLOAD_REFUSED where it is too large or stalls, DISK_FULL. */
  append(body: AsyncIterable<Uint8Array>): Promise<void>
  /** Completes the blob. @returns false, and stores nothing, where the content has another digest. */
  finish(digest: string, pin: Pin): Promise<boolean>
  cancel(): Promise<void>
}

/** All uploads of a server. */
export interface Uploads {
  /** Begins an upload. @param bytes announced size. @throws MqError UPLOAD_REFUSED where there are too many uploads or bytes. */
  begin(repository: string, bytes?: number): Promise<Upload>
  find(id: string, repository: string): Upload | undefined
  /** Begins an upload in parts, or continues that of the same content; parts may come in any order. @throws MqError UPLOAD_REFUSED, DISK_FULL. */
  beginParts(repository: string, digest: string, sizeBytes: number, partBytes: number): Promise<PartUpload>
  findParts(repository: string, digest: string): PartUpload | undefined
  /** Checks that the quota has room for bytes that are stored without an upload. @throws MqError UPLOAD_REFUSED. */
  checkRoom(bytes: number): Promise<void>
  /** Removes idle uploads. */
  sweep(): Promise<void>
  close(): Promise<void>
}

/** Limits of uploads. */
export interface UploadLimits {
  /** Maximum size of one upload. */
  readonly maxBytes: number
  /** Maximum size of all blobs of the registry; by default none. */
  readonly quotaBytes?: number | undefined
  /** Idle time after which an upload is removed. */
  readonly idleForMs?: number | undefined
}

/** Creates the uploads of a server; they are cancelled when it closes. */
export function createUploads(store: Store, { maxBytes, quotaBytes, idleForMs = 3_600_000 }: UploadLimits): Uploads {
  const uploads = new Map<string, Upload & { touchedAt: number }>()
  const room = createRoom(store, quotaBytes)
  const parts = createPartUploads(store, room)
  const checkLimits = async (bytes: number): Promise<void> => {
    if (uploads.size + parts.size >= maxUploads)
      throw MqError.of('UPLOAD_REFUSED', { problem: `${maxUploads} uploads are running` })
    if (bytes > maxBytes) throw tooLarge(maxBytes)
    await room.check(bytes)
  }
  const sweep = async (untouchedForMs: number): Promise<void> => {
    const before = Date.now() - untouchedForMs
    for (const upload of [...uploads.values(), ...parts.values()]) if (upload.touchedAt < before) await upload.cancel()
  }
  const timer = setInterval(() => void sweep(idleForMs).catch(() => undefined), Math.min(idleForMs, 300_000))
  timer.unref()
  let isClosed = false
  /** Cancels an upload that was opened while the server closed, so that its file is closed. */
  const unlessClosed = async <Begun extends { cancel(): Promise<void> }>(upload: Begun): Promise<Begun> => {
    if (!isClosed) return upload
    await upload.cancel()
    throw MqError.of('UPLOAD_REFUSED', { problem: 'the server is closing' })
  }
  return {
    async begin(repository, bytes = 0) {
      await sweep(idleForMs)
      await checkLimits(bytes)
      const upload = await openUpload(store, repository, maxBytes, room, (id) => uploads.delete(id))
      uploads.set(upload.id, upload)
      return await unlessClosed(upload)
    },
    find(id, repository) {
      const upload = uploads.get(id)
      return upload?.repository === repository ? upload : undefined
    },
    async beginParts(repository, digest, sizeBytes, partBytes) {
      await sweep(idleForMs)
      const running = parts.find(repository, digest)
      if (running?.sizeBytes === sizeBytes && running.partBytes === partBytes) return running
      await running?.cancel()
      await checkLimits(sizeBytes)
      return await unlessClosed(await parts.begin({ repository, digest, sizeBytes, partBytes }))
    },
    findParts: (repository, digest) => parts.find(repository, digest),
    checkRoom: (bytes) => room.check(bytes),
    sweep: () => sweep(idleForMs),
    async close() {
      isClosed = true
      clearInterval(timer)
      await sweep(Number.NEGATIVE_INFINITY)
    },
  }
}

function tooLarge(maxBytes: number): MqError {
  return MqError.of('UPLOAD_REFUSED', { problem: `it is larger than ${maxBytes} bytes` })
}

async function openUpload(
  store: Store,
  repository: string,
  maxBytes: number,
  room: Room,
  forget: (id: string) => void,
): Promise<Upload & { touchedAt: number }> {
  const id = randomUUID()
  const path = await temporaryPath(store, 'upload')
  const handle: FileHandle = await open(path, 'wx')
  const hash: Hash = createHash('sha256')
  let size = 0
  let [busy, ended] = [false, false]
  const end = async (isStored: boolean): Promise<void> => {
    if (!ended) room.end(size, isStored)
    ended = true
    forget(id)
    await handle.close().catch(() => undefined)
  }
  const upload = {
    id,
    repository,
    touchedAt: Date.now(),
    get size() {
      return size
    },
    async append(body: AsyncIterable<Uint8Array>) {
      if (busy) throw MqError.of('UPLOAD_REFUSED', { problem: 'another request writes to it' })
      busy = true
      try {
        for await (const chunk of body) {
          if (size + chunk.byteLength > maxBytes) throw tooLarge(maxBytes)
          if (ended) throw MqError.of('UPLOAD_REFUSED', { problem: 'it has ended' })
          room.take(chunk.byteLength)
          await writeFully(handle, chunk, size)
          hash.update(chunk)
          size += chunk.byteLength
          upload.touchedAt = Date.now()
        }
      } catch (error) {
        throw isDiskFull(error) ? await writingError(error, path, size) : error
      } finally {
        busy = false
      }
    },
    async finish(digest: string, pin: Pin) {
      const isRight = `sha256:${hash.digest('hex')}` === digest
      await end(isRight)
      try {
        if (!isRight) return false
        await pin.add(digest)
        await adoptBlob(store, path, digest)
        return true
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

/** Reads the body of a request, and aborts when it stalls. */
export async function* bodyOf(
  incoming: AsyncIterable<Uint8Array> & { destroy(error?: Error): unknown },
): AsyncGenerator<Uint8Array, void, void> {
  let [received, before] = [0, 0]
  const watch = setInterval(() => {
    if (received - before < fewestBytes) incoming.destroy(MqError.of('UPLOAD_REFUSED', { problem: 'it stalled' }))
    before = received
  }, 60_000)
  try {
    for await (const chunk of incoming) {
      received += chunk.byteLength
      yield chunk
    }
  } finally {
    clearInterval(watch)
  }
}
