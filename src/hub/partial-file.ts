import type { Hash } from 'node:crypto'
import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeFully } from '../../formats/file-bytes.js'
import { MqError } from '../errors/index.js'
import { type HeldLock, lockName, partialName, sharedLock, writingError } from '../files/index.js'
import { contentHash, hasContent, hashPrefix } from './content-hash.js'
import type { RemoteFile } from './listing.js'

const lookEveryMs = 200
/** Who waits for another's download waits while that grows; when it has stood still for so long, it fetches a copy of its own. */
const patienceMs = 90_000

/** Where a file that is not whole yet is written, by nobody else. */
export interface PartialPlace {
  readonly path: string
  /** Gives the place up; with `keep` its bytes stay for a later run. */
  release(keep: boolean): Promise<void>
  /** Gives the file its final name. */
  finish(handle: FileHandle): Promise<void>
}

interface Claim {
  readonly path: string
  readonly file: RemoteFile
  readonly signal: AbortSignal
  readonly onWait: () => void
}

/**
 * A place to write `path` to: `PATH.partial`, with what an earlier run left there, under a lock. While another process downloads the same
 * file it waits.
 * @returns undefined where the other process has brought the file by then.
 */
export async function claimPartial({ path, file, signal, onWait }: Claim): Promise<PartialPlace | undefined> {
  const partial = partialName(path)
  const tryLock = sharedLock(lockName(path))
  let [size, since, waited] = [-1, performance.now(), false]
  for (;;) {
    const lock = await tryLock()
    if (lock !== undefined) {
      if (waited && (await isThere(path, file, signal))) {
        await lock.release()
        return undefined
      }
      // Its holder may be alive, on a machine that cannot be asked: what it still writes must not be what is read here.
      if (lock.takenFrom === 'silent') await rm(partial, { force: true })
      return lockedPlace(path, lock)
    }
    if (!waited) onWait()
    waited = true
    const now = (await stat(partial).catch(() => undefined))?.size ?? 0
    if (now !== size) [size, since] = [now, performance.now()]
    if (performance.now() - since > patienceMs) return ownPlace(path)
    await sleep(lookEveryMs, undefined, { signal })
  }
}

function lockedPlace(path: string, lock: HeldLock): PartialPlace {
  const partial = partialName(path)
  return {
    path: partial,
    async release(keep) {
      if (!keep && (await lock.isHeld())) await rm(partial, { force: true })
      await lock.release()
    },
    async finish(handle) {
      if (!(await lock.isHeld()) || !(await isSame(partial, handle)))
        throw MqError.of('OUTPUT_BUSY', { path, lock: lockName(path) })
      await rename(partial, path)
    },
  }
}

function ownPlace(path: string): PartialPlace {
  const own = `${path}.${randomUUID()}.partial`
  return {
    path: own,
    release: () => rm(own, { force: true }),
    finish: () => rename(own, path),
  }
}

async function isThere(path: string, file: RemoteFile, signal: AbortSignal): Promise<boolean> {
  const present = await stat(path).catch(() => undefined)
  return present?.size === file.sizeBytes && (await hasContent(path, file, { signal }))
}

async function isSame(path: string, handle: FileHandle): Promise<boolean> {
  const [named, held] = await Promise.all([stat(path, { bigint: true }).catch(() => undefined), handle.stat({ bigint: true })])
  return named !== undefined && named.dev === held.dev && named.ino === held.ino
}

/** The bytes of a file on their way, hashed as they are written. */
export interface PartialFile {
  readonly handle: FileHandle
  /** Bytes that are written and hashed. */
  readonly length: number
  append(chunk: Uint8Array): Promise<void>
  /** Throws all away. */
  clear(): Promise<void>
  hash(): string
}

/** Opens what is at `path`, hashing what an earlier run left. @param options.onBytes called with how many bytes more, or fewer, are there. */
export async function openPartialFile(
  path: string,
  file: RemoteFile,
  { signal, onBytes }: { readonly signal: AbortSignal; readonly onBytes: (count: number) => void },
): Promise<PartialFile> {
  const present = (await stat(path).catch(() => undefined))?.size ?? 0
  let length = present <= file.sizeBytes ? present : 0
  let hash: Hash = contentHash(file)
  await hashPrefix(path, length, hash, { signal, onBytes })
  const handle = await open(path, length > 0 ? 'r+' : 'w')
  return {
    handle,
    get length() {
      return length
    },
    async append(chunk) {
      try {
        await writeFully(handle, chunk, length)
      } catch (error) {
        throw await writingError(error, path, file.sizeBytes - length)
      }
      hash.update(chunk)
      length += chunk.byteLength
      onBytes(chunk.byteLength)
    },
    async clear() {
      await handle.truncate(0)
      onBytes(-length)
      hash = contentHash(file)
      length = 0
    },
    hash: () => hash.copy().digest('hex'),
  }
}
