import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { WithProgress } from '../progress/index.js'
import {
  blobPath,
  blobsDirectory,
  emptyTrash,
  isDigest,
  moveToTrash,
  openStore,
  prepareStore,
  reach,
  type Store,
  sweepTemporaries,
  withLock,
} from './store/index.js'

/** The registry, and whether anything is deleted. */
export interface GarbageOptions {
  readonly registry: string
  /** Minimum age of a blob to be deleted, in milliseconds: a client may be about to reference a younger one. By default one hour. */
  readonly graceMs?: number
  /** Reports what would be deleted, and deletes nothing. */
  readonly dryRun?: boolean
  readonly signal?: AbortSignal | undefined
}

/** Blobs that no tag references. */
export interface Garbage {
  readonly blobs: number
  readonly bytes: number
  /** Unreferenced blobs that are too young to be deleted. */
  readonly young: number
  readonly dryRun: boolean
}

/**
 * Deletes the blobs of a registry that no tag and no active writer references. The registry may be served and published to meanwhile: blobs
 * are moved to the trash first, then all tags are read again. When stopped at any moment, every tag stays complete.
 * @throws MqError REGISTRY_CORRUPT where a list of tags or a manifest cannot be read, so that its references are unknown; REGISTRY_BUSY.
 */
export async function* collectGarbage(options: GarbageOptions): WithProgress<Garbage> {
  const { registry, graceMs = 3_600_000, dryRun = false, signal } = options
  const store = openStore(registry)
  yield { stage: 'collect', done: 0, total: 1, unit: 'files' }
  if (!dryRun) await prepareStore(store)
  const work = async (): Promise<Garbage> => {
    if (!dryRun) await sweepTemporaries(store)
    const reachable = await reach(store)
    const { victims, young } = await unreachable(store, reachable, Date.now() - graceMs)
    const bytes = victims.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    if (dryRun) return { blobs: victims.length, bytes, young, dryRun }
    for (const { digest } of victims) {
      signal?.throwIfAborted()
      await moveToTrash(store, digest)
    }
    const again = await reach(store)
    const deleted = new Set(await emptyTrash(store, (digest) => again.has(digest)))
    await sweepMerged(store)
    const gone = victims.filter(({ digest }) => deleted.has(digest))
    return { blobs: gone.length, bytes: gone.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0), young, dryRun }
  }
  return dryRun ? work() : withLock(store, '.garbage', work)
}

/** Deletes the cached digests of merged models whose manifests are gone. */
async function sweepMerged(store: Store): Promise<void> {
  const folder = join(store.directory, 'merged')
  for (const name of await readdir(folder).catch(() => [])) {
    const manifest = `sha256:${name.replace(/\.json$/, '')}`
    const isThere = isDigest(manifest) && (await stat(blobPath(store, manifest)).catch(() => undefined)) !== undefined
    if (!isThere) await rm(join(folder, name), { force: true })
  }
}

async function unreachable(
  store: Store,
  reachable: ReadonlySet<string>,
  before: number,
): Promise<{ victims: { digest: string; sizeBytes: number }[]; young: number }> {
  const victims: { digest: string; sizeBytes: number }[] = []
  let young = 0
  const names = await readdir(blobsDirectory(store)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  for (const name of names) {
    const digest = `sha256:${name}`
    if (!isDigest(digest) || reachable.has(digest)) continue
    const entry = await stat(join(blobsDirectory(store), name)).catch(() => undefined)
    if (entry === undefined) continue
    if (entry.mtimeMs >= before) young++
    else victims.push({ digest, sizeBytes: entry.size })
  }
  return { victims, young }
}
