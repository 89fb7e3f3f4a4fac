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
  /** Blobs that are younger stay, since a client may be about to point to them; an hour unless said otherwise. */
  readonly graceMs?: number
  /** Says what would be deleted, and deletes nothing. */
  readonly dryRun?: boolean
  readonly signal?: AbortSignal | undefined
}

/** What no tag needs. */
export interface Garbage {
  readonly blobs: number
  readonly bytes: number
  /** Blobs that nothing points to and that are too young. */
  readonly young: number
  readonly dryRun: boolean
}

/**
 * Deletes the blobs of a registry that no tag and no writer at work needs, while it is served and published to: blobs are set aside
 * first, then the tags are looked at once more. Stopped at any moment, it leaves every tag whole.
 * @throws MqError REGISTRY_CORRUPT where a list of tags or a manifest cannot be read, since nobody knows what it needs; REGISTRY_BUSY.
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

/** What is known of merged models goes with their manifests. */
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
