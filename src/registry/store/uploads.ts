import { createHash, type Hash, randomUUID } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { writeFully } from '../../../formats/file-bytes.js'
import { MqError } from '../../errors/index.js'
import { isDiskFull, writingError } from '../../files/index.js'
import { adoptBlob } from './blobs.js'
import type { Pin } from './pins.js'
import type { Store } from './store.js'
import { temporaryPath } from './temporary.js'

const idleForMs = 3_600_000
const maxUploads = 256
/** A body that brings fewer bytes than this in a minute has stalled. */
const fewestBytes = 4096

/** A blob on its way in: nothing of it is visible until its digest is right. */
export interface Upload {
  readonly id: string
  /** `NAMESPACE/NAME` that it was begun for. */
  readonly repository: string
  /** Bytes received. */
  readonly size: number
  /** Appends a body. @throws MqError UPLOAD_REFUSED where it is too large or stalls, DISK_FULL. */
  append(body: AsyncIterable<Uint8Array>): Promise<void>
  /** Gives the blob its name; false, and nothing is stored, where its content has another digest. */
  finish(digest: string, pin: Pin): Promise<boolean>
  cancel(): Promise<void>
}

/** All uploads of a server. */
export interface Uploads {
  /** @throws MqError UPLOAD_REFUSED where there are too many. */
  begin(repository: string): Promise<Upload>
  find(id: string, repository: string): Upload | undefined
  /** Removes uploads that nobody has written to for an hour. */
  sweep(): Promise<void>
  close(): Promise<void>
}

/** Uploads of a server, which end with it. @param maxBytes of one upload. */
export function createUploads(store: Store, { maxBytes }: { readonly maxBytes: number }): Uploads {
  const uploads = new Map<string, Upload & { touchedAt: number }>()
  return {
    async begin(repository) {
      await this.sweep()
      if (uploads.size >= maxUploads) throw MqError.of('UPLOAD_REFUSED', { problem: `${maxUploads} uploads are running` })
      const upload = await openUpload(store, repository, maxBytes, (id) => uploads.delete(id))
      uploads.set(upload.id, upload)
      return upload
    },
    find(id, repository) {
      const upload = uploads.get(id)
      return upload?.repository === repository ? upload : undefined
    },
    async sweep() {
      for (const upload of uploads.values()) if (Date.now() - upload.touchedAt > idleForMs) await upload.cancel()
    },
    async close() {
      for (const upload of uploads.values()) await upload.cancel()
    },
  }
}

async function openUpload(
  store: Store,
  repository: string,
  maxBytes: number,
  forget: (id: string) => void,
): Promise<Upload & { touchedAt: number }> {
  const id = randomUUID()
  const path = await temporaryPath(store, 'upload')
  const handle: FileHandle = await open(path, 'wx')
  const hash: Hash = createHash('sha256')
  let size = 0
  let busy = false
  const end = async (): Promise<void> => {
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
          if (size + chunk.byteLength > maxBytes)
            throw MqError.of('UPLOAD_REFUSED', { problem: `it is larger than ${maxBytes} bytes` })
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
      await end()
      try {
        if (`sha256:${hash.digest('hex')}` !== digest) return false
        await pin.add(digest)
        await adoptBlob(store, path, digest)
        return true
      } finally {
        await rm(path, { force: true })
      }
    },
    async cancel() {
      await end()
      await rm(path, { force: true })
    },
  }
  return upload
}

/** The body of a request, given up when it stalls. */
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
