import { readdir, rm } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { MqError } from '../../errors/index.js'
import { sharedLock } from '../../files/index.js'
import { cacheDirectory } from '../endpoint.js'
import { type CachedModel, isUnfinished, listCache } from './list.js'
import { readRecords } from './record.js'

/** What to remove: models by the names they were pulled by (a name without a tag: all its tags), all of them, or unfinished downloads. */
export type CacheRemoval = { readonly names: readonly string[] } | 'all' | 'unfinished'

/**
 * Removes models from the cache.
 * @returns what was removed; its sizes are what became free.
 * @throws MqError MODEL_NOT_FOUND where a name is not in the cache; OUTPUT_BUSY while another process downloads one of them.
 */
export async function removeCached(removal: CacheRemoval, cache: string = cacheDirectory()): Promise<CachedModel[]> {
  const models = await listCache(cache)
  const chosen =
    removal === 'all' || removal === 'unfinished' ? models : removal.names.flatMap((name) => named(models, name, cache))
  const removed = new Set(removal === 'unfinished' ? chosen.filter(({ unfinishedBytes }) => unfinishedBytes > 0) : chosen)
  for (const model of removed) {
    await whileNobodyWrites(model.directory, async (unfinished) => {
      if (removal === 'unfinished') for (const path of unfinished) await rm(path, { force: true })
      else await removeModel(cache, model)
    })
  }
  return [...removed]
}

function named(models: readonly CachedModel[], name: string, cache: string): CachedModel[] {
  const found = models.filter(({ names }) => names.some((own) => own.name === name || own.name.replace(/[:@].*$/, '') === name))
  if (found.length === 0) throw MqError.of('CACHE_MISSING', { name, cache })
  return found
}

async function removeModel(cache: string, { directory }: CachedModel): Promise<void> {
  const folder = relative(cache, directory).replaceAll('\\', '/')
  for (const { path, record } of await readRecords(cache)) if (record.folder === folder) await rm(path, { force: true })
  await rm(directory, { recursive: true, force: true })
  for (let parent = dirname(directory); parent !== cache && parent.startsWith(cache); parent = dirname(parent)) {
    if ((await readdir(parent)).length > 0) break
    await rm(parent, { recursive: true, force: true })
  }
}

/** Holds the locks of all unfinished downloads in a folder. */
async function whileNobodyWrites(directory: string, work: (unfinished: readonly string[]) => Promise<void>): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true })
  const unfinished = entries
    .filter((entry) => entry.isFile() && isUnfinished(entry.name))
    .map(({ parentPath, name }) => join(parentPath, name))
  const locks: { release(): Promise<void> }[] = []
  try {
    for (const path of unfinished.filter((candidate) => candidate.endsWith('.lock'))) {
      const lock = await sharedLock(path)()
      if (lock === undefined) throw MqError.of('OUTPUT_BUSY', { path: path.replace(/\.partial\.lock$/, ''), lock: path })
      locks.push(lock)
    }
    await work(unfinished)
  } finally {
    for (const lock of locks) await lock.release()
  }
}
