import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import type { WithProgress } from '../../progress/index.js'
import { byteProgress } from '../byte-progress.js'
import { hasContent, hashPrefix } from '../content-hash.js'
import { cacheDirectory } from '../endpoint.js'
import type { RemoteFile } from '../listing.js'
import { listCache } from './list.js'
import { contentName, readRecords } from './record.js'

/** A cached file that is not what was downloaded. */
export interface CacheFault {
  readonly path: string
  readonly problem: 'its content has changed' | 'its length has changed' | 'it is missing' | 'its files do not belong together'
  /** Whether it was removed, so that it is downloaded again when it is next needed. */
  readonly removed: boolean
}

/** What a check of the cache found. */
export interface CacheCheck {
  readonly models: number
  readonly files: number
  readonly bytes: number
  readonly faults: readonly CacheFault[]
}

/**
 * Reads the cached models again and compares them with the hashes they were verified by.
 * @param repair removes files that are damaged.
 */
export async function* checkCache(
  options: { readonly cache?: string; readonly repair?: boolean; readonly signal?: AbortSignal } = {},
): WithProgress<CacheCheck> {
  const { cache = cacheDirectory(), repair = false } = options
  const models = await listCache(cache)
  const records = new Map((await readRecords(cache)).map(({ record }) => [record.folder, record.files]))
  const total = models.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return yield* byteProgress('check', total, options.signal, async ({ bytes, signal }) => {
    const faults: Omit<CacheFault, 'removed'>[] = []
    for (const { directory, files } of models) {
      const expected = records.get(relative(cache, directory).replaceAll('\\', '/'))
      const read = { signal, onBytes: (count: number) => bytes(count, basename(directory)) }
      if (expected === undefined) faults.push(...(await faultsByName(directory, files, read)))
      else for (const file of expected) faults.push(...(await faultsOf(join(directory, file.path), file, files, read)))
    }
    if (repair) for (const { path } of faults) await rm(path, { force: true, recursive: true })
    const count = models.reduce((sum, { files }) => sum + files.length, 0)
    return { models: models.length, files: count, bytes: total, faults: faults.map((fault) => ({ ...fault, removed: repair })) }
  })
}

type Reading = Parameters<typeof hasContent>[2]
type Present = readonly { readonly path: string; readonly sizeBytes: number }[]

async function faultsOf(path: string, file: RemoteFile, present: Present, read: Reading): Promise<Omit<CacheFault, 'removed'>[]> {
  const there = present.find((candidate) => candidate.path.replaceAll('\\', '/') === file.path)
  if (there === undefined) return [{ path, problem: 'it is missing' }]
  if (there.sizeBytes !== file.sizeBytes) return [{ path, problem: 'its length has changed' }]
  return (await hasContent(path, file, read)) ? [] : [{ path, problem: 'its content has changed' }]
}

/** Where no record says what the files were, the folder's name does: it is made of their hashes, those of a GGUF being SHA-256. */
async function faultsByName(directory: string, files: Present, read: Reading): Promise<Omit<CacheFault, 'removed'>[]> {
  const hashed: Pick<RemoteFile, 'path' | 'hash'>[] = []
  for (const { path, sizeBytes } of files.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    const hash = createHash('sha256')
    await hashPrefix(join(directory, path), sizeBytes, hash, read)
    hashed.push({ path, hash: { algorithm: 'sha256', value: hash.digest('hex') } })
  }
  if (files.length === 0 || contentName(hashed) === basename(directory)) return []
  return [{ path: directory, problem: 'its files do not belong together' }]
}
