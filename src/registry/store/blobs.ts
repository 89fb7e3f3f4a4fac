import { createHash } from 'node:crypto'
import { constants, copyFile, type FileHandle, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { writeFully } from '../../../formats/file-bytes.js'
import { MqError } from '../../errors/index.js'
import { checkSpace } from '../../files/index.js'
import type { Descriptor } from './manifest.js'
import type { Pin } from './pins.js'
import { blobsDirectory, type Store, syncDirectory } from './store.js'
import { temporaryPath, writeAtomically } from './temporary.js'

const chunkBytes = 4 << 20
const digestPattern = /^sha256:[0-9a-f]{64}$/

/** Identity of a blob by its content. */
export type BlobIdentity = Pick<Descriptor, 'digest' | 'size'>

/** Returns whether `text` is a digest that this store can hold: `sha256:` and 64 hexadecimal digits. */
export function isDigest(text: string): boolean {
  return digestPattern.test(text)
}

/** Computes the digest of bytes in memory. */
export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** Returns the path of a blob, whether it exists or not. `digest` must have passed {@link isDigest}. */
export function blobPath(store: Store, digest: string): string {
  if (!isDigest(digest)) throw MqError.of('REGISTRY_CORRUPT', { path: store.directory, problem: `${digest} is not a digest` })
  return join(blobsDirectory(store), digest.slice('sha256:'.length))
}

/** Stores bytes from memory: a manifest, a configuration. */
export async function addBytes(store: Store, bytes: Uint8Array, pin?: Pin): Promise<BlobIdentity> {
  const digest = digestOf(bytes)
  await pin?.add(digest)
  await writeAtomically(store, blobPath(store, digest), bytes)
  return { digest, size: bytes.byteLength }
}

/** Reads a small blob and checks it against its digest. @throws MqError REGISTRY_CORRUPT. */
export async function readBytes(store: Store, { digest, size }: BlobIdentity): Promise<Buffer> {
  const path = blobPath(store, digest)
  const corrupt = (problem: string): MqError => MqError.of('REGISTRY_CORRUPT', { path: store.directory, problem })
  const { size: present } = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw MqError.from(error, path)
    return { size: -1 }
  })
  if (present !== size)
    throw corrupt(present < 0 ? `the blob ${digest} is missing` : `${digest} has ${present} bytes, not ${size}`)
  const bytes = await readFile(path)
  if (digestOf(bytes) !== digest) throw corrupt(`the content of ${digest} has changed`)
  return bytes
}

/**
 * Stores a file of any size, reading it once: on file systems that share blocks it is cloned and the clone is hashed, elsewhere it is
 * copied and hashed in the same pass. The file itself is never linked, so that editing it later cannot harm the store.
 * Yields the bytes done so far.
 * @throws MqError DISK_FULL, or FILE_UNREADABLE when the file changes meanwhile.
 */
export async function* addFile(
  store: Store,
  path: string,
  pin?: Pin,
  signal?: AbortSignal,
): AsyncGenerator<number, BlobIdentity, void> {
  const temporary = await temporaryPath(store)
  try {
    const before = await stat(path)
    const cloned = await tryClone(path, temporary)
    if (!cloned) await checkSpace(blobsDirectory(store), before.size, `${store.directory} (for ${basename(path)})`)
    const digest = cloned ? yield* hashFile(temporary, signal) : yield* copyAndHash(path, temporary, signal)
    const after = await stat(path)
    if (after.size !== before.size || after.mtimeMs !== before.mtimeMs) {
      throw MqError.of('FILE_UNREADABLE', { path, problem: 'it changed while it was read' })
    }
    await pin?.add(digest)
    await adoptBlob(store, temporary, digest)
    return { digest, size: before.size }
  } finally {
    await rm(temporary, { force: true })
  }
}

/** Turns a finished and hashed temporary file into a blob: syncs it, makes it read-only, and renames it. */
export async function adoptBlob(store: Store, temporary: string, digest: string): Promise<void> {
  await putAside(temporary)
  await rename(temporary, blobPath(store, digest))
  await syncDirectory(blobsDirectory(store))
}

async function tryClone(path: string, temporary: string): Promise<boolean> {
  try {
    await copyFile(path, temporary, constants.COPYFILE_FICLONE_FORCE)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error
    return false
  }
}

async function* hashFile(path: string, signal: AbortSignal | undefined): AsyncGenerator<number, string, void> {
  const source = await open(path, 'r')
  try {
    return yield* pass(source, undefined, signal)
  } finally {
    await source.close()
  }
}

/**
 * Copies a file to a temporary one of the store, hashing it in the same pass. Yields the bytes done so far.
 * @returns the digest, `sha256:HEX`.
 * @throws Node's own errors; an AbortError.
 */
export async function* copyAndHash(
  path: string,
  temporary: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<number, string, void> {
  const source = await open(path, 'r')
  try {
    const target = await open(temporary, 'wx')
    try {
      return yield* pass(source, target, signal)
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

/** Makes one pass over `source`: each chunk is hashed while the next is read and, where there is a target, while it is written. */
async function* pass(
  source: FileHandle,
  target: FileHandle | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<number, string, void> {
  const hash = createHash('sha256')
  let [current, spare] = [Buffer.allocUnsafe(chunkBytes), Buffer.allocUnsafe(chunkBytes)]
  let done = 0
  let { bytesRead } = await source.read(current, 0, chunkBytes, 0)
  while (bytesRead > 0) {
    signal?.throwIfAborted()
    const chunk = current.subarray(0, bytesRead)
    const writing = target === undefined ? undefined : writeFully(target, chunk, done)
    const reading = source.read(spare, 0, chunkBytes, done + chunk.byteLength)
    hash.update(chunk)
    done += chunk.byteLength
    const [next] = await Promise.all([reading, writing])
    bytesRead = next.bytesRead
    ;[current, spare] = [spare, current]
    yield done
  }
  return `sha256:${hash.digest('hex')}`
}

/** Syncs a finished file and makes it read-only: content under a digest never changes. */
async function putAside(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    await handle.sync()
    // File systems without permissions, such as FAT, are supported.
    await handle.chmod(0o444).catch(() => undefined)
  } finally {
    await handle.close()
  }
}
