import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MqError } from '../../errors/index.js'
import { blobsDirectory, type Store } from './store.js'

/** Maximum age of a sum of stored bytes. */
const freshForMs = 10_000

/** Space that is left for uploads under the quota of a server. */
export interface Room {
  /** Checks that `bytes` more fit, after it sums up the stored bytes unless a recent sum exists. @throws MqError UPLOAD_REFUSED. */
  check(bytes: number): Promise<void>
  /** Counts bytes of a running upload. @throws MqError UPLOAD_REFUSED where they exceed the quota. */
  take(bytes: number): void
  /** Ends the count of an upload whose bytes are stored or deleted. */
  end(bytes: number, isStored: boolean): void
}

/** Creates the count of a server. @param quotaBytes limit of all blobs together; by default none. */
export function createRoom(store: Store, quotaBytes: number | undefined): Room {
  let [stored, running, summedAt] = [0, 0, Number.NEGATIVE_INFINITY]
  const refuse = (bytes: number): void => {
    if (quotaBytes !== undefined && stored + running + bytes > quotaBytes)
      throw MqError.of('UPLOAD_REFUSED', { problem: `the registry may hold ${quotaBytes} bytes` })
  }
  return {
    async check(bytes) {
      if (quotaBytes === undefined) return
      if (performance.now() - summedAt > freshForMs) {
        stored = await sumOfBlobs(store)
        summedAt = performance.now()
      }
      refuse(bytes)
    },
    take(bytes) {
      refuse(bytes)
      running += bytes
    },
    end(bytes, isStored) {
      running -= bytes
      if (isStored) stored += bytes
    },
  }
}

async function sumOfBlobs(store: Store): Promise<number> {
  const folder = blobsDirectory(store)
  const names = await readdir(folder).catch(() => [])
  const sizes = names.map(async (name) => (await stat(join(folder, name)).catch(() => undefined))?.size ?? 0)
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}
