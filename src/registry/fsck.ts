import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MqError } from '../errors/index.js'
import { hashFile } from '../files/index.js'
import { cacheDirectory } from '../hub/index.js'
import type { WithProgress } from '../progress/index.js'
import {
  adoptBlob,
  blobPath,
  blobsDirectory,
  copyAndHash,
  type Descriptor,
  descriptorsIn,
  findRepository,
  isDigest,
  listRepositories,
  openStore,
  parseModelName,
  readBytes,
  readIndex,
  type Store,
  tagOf,
  temporaryPath,
} from './store/index.js'

/** A fault of a registry. */
export interface RegistryFault {
  /** A digest, `NAMESPACE/NAME`, or the path of a file that does not belong there. */
  readonly what: string
  readonly problem: string
  /** Tags that cannot be used because of it. */
  readonly tags: readonly string[]
  /** Whether it has been repaired. */
  readonly repaired: boolean
}

/** Result of a check of the registry. */
export interface RegistryCheck {
  readonly registry: string
  readonly tags: number
  readonly blobs: number
  readonly bytes: number
  readonly faults: readonly RegistryFault[]
}

/** The registry, and where to look for copies of damaged blobs. */
export interface FsckOptions {
  readonly registry: string
  /** Replaces damaged and missing blobs by copies; damaged ones without a copy are moved to `damaged/`. */
  readonly repair?: boolean
  /** Folders to look for copies in: of other registries, or of files by any name. The download cache is looked in, too. */
  readonly from?: readonly string[]
  readonly signal?: AbortSignal | undefined
}

/**
 * Checks a whole registry: hashes every blob, and follows the references of every tag.
 * @throws MqError FILE_UNREADABLE, FILE_UNWRITABLE, DISK_FULL.
 */
export async function* checkRegistry(options: FsckOptions): WithProgress<RegistryCheck> {
  const { repair = false, from = [], signal } = options
  const store = openStore(options.registry)
  const { needed, tags, faults: indexFaults } = await readNeeds(store)
  const present = await listBlobs(store)
  const total = present.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const bad = new Map<string, string>()
  let done = 0
  for (const { name, sizeBytes } of present) {
    yield { stage: 'check', done, total, unit: 'bytes', item: name.slice(0, 12) }
    const digest = `sha256:${name}`
    if (!isDigest(digest)) bad.set(join(blobsDirectory(store), name), 'it is not a blob: blobs are named by their SHA-256')
    else if (`sha256:${(await hashFile(blobPath(store, digest), signal)).sha256}` !== digest)
      bad.set(digest, 'its content has changed')
    done += sizeBytes
  }
  const names = new Set(present.map(({ name }) => `sha256:${name}`))
  for (const digest of needed.keys()) if (!names.has(digest)) bad.set(digest, 'it is missing')

  const faults: RegistryFault[] = [...indexFaults]
  for (const [what, problem] of bad) {
    const need = needed.get(what)
    const repaired = repair && isDigest(what) && (await replace(store, what, need?.size, from, signal))
    if (repair && !repaired && isDigest(what) && problem !== 'it is missing') await setAside(store, what)
    faults.push({ what, problem, tags: [...(need?.tags ?? [])].sort(), repaired })
  }
  return { registry: store.directory, tags, blobs: present.length, bytes: total, faults }
}

interface Need {
  readonly size: number
  readonly tags: Set<string>
}

/** Collects the blobs that every tag references, as far as manifests can be read. */
async function readNeeds(store: Store): Promise<{ needed: Map<string, Need>; tags: number; faults: RegistryFault[] }> {
  const needed = new Map<string, Need>()
  const faults: RegistryFault[] = []
  let tags = 0
  for (const name of await listRepositories(store)) {
    const repository = await findRepository(store, parseModelName(name))
    if (repository === undefined) continue
    try {
      for (const descriptor of (await readIndex(store, repository)).manifests) {
        tags++
        await addNeeds(store, descriptor, `${name}:${tagOf(descriptor) ?? descriptor.digest}`, needed)
      }
    } catch (error) {
      if (MqError.from(error).code !== 'REGISTRY_CORRUPT') throw error
      faults.push({ what: name, problem: (error as MqError).message, tags: [], repaired: false })
    }
  }
  return { needed, tags, faults }
}

async function addNeeds(
  store: Store,
  { digest, size, mediaType }: Pick<Descriptor, 'digest' | 'size' | 'mediaType'>,
  tag: string,
  needed: Map<string, Need>,
): Promise<void> {
  const need = needed.get(digest) ?? { size, tags: new Set<string>() }
  need.tags.add(tag)
  needed.set(digest, need)
  if (!/manifest|image\.index/.test(mediaType)) return
  // A manifest that cannot be read is found by its hash.
  const bytes = await readBytes(store, { digest, size }).catch(() => undefined)
  if (bytes === undefined) return
  for (const inner of descriptorsIn(bytes, digest, store)) await addNeeds(store, inner, tag, needed)
}

async function listBlobs(store: Store): Promise<{ name: string; sizeBytes: number }[]> {
  const names = await readdir(blobsDirectory(store)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw MqError.from(error, blobsDirectory(store))
  })
  const sizes = names.map(async (name) => ({ name, sizeBytes: (await stat(join(blobsDirectory(store), name))).size }))
  return Promise.all(sizes)
}

/** Replaces a blob by a copy with the right content. @returns false where no copy is found. */
async function replace(
  store: Store,
  digest: string,
  size: number | undefined,
  from: readonly string[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  for (const path of await candidates(digest, size, [...from, cacheDirectory()])) {
    const temporary = await temporaryPath(store)
    try {
      const work = copyAndHash(path, temporary, signal)
      let step = await work.next()
      while (step.done !== true) step = await work.next()
      if (step.value !== digest) continue
      await adoptBlob(store, temporary, digest)
      return true
    } finally {
      await rm(temporary, { force: true })
    }
  }
  return false
}

/** Finds files that may be a copy of a blob: by name in another registry, by size anywhere else. */
async function candidates(digest: string, size: number | undefined, folders: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const folder of folders) {
    const byName = join(folder, 'blobs', 'sha256', digest.slice('sha256:'.length))
    if ((await stat(byName).catch(() => undefined))?.isFile() === true) found.push(byName)
    if (size === undefined) continue
    const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => [])
    for (const entry of entries.filter((candidate) => candidate.isFile())) {
      const path = join(entry.parentPath, entry.name)
      if (path !== byName && (await stat(path).catch(() => undefined))?.size === size) found.push(path)
    }
  }
  return found
}

/** Moves a damaged blob to `damaged/`: it is no longer served, and publishing the same file again restores it. */
async function setAside(store: Store, digest: string): Promise<void> {
  const folder = join(store.directory, 'damaged')
  await mkdir(folder, { recursive: true })
  await rename(blobPath(store, digest), join(folder, digest.slice('sha256:'.length)))
}
