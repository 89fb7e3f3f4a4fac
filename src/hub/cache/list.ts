import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDirectory } from '../endpoint.js'
import { readRecords } from './record.js'

/** A model that was pulled by name, as `mq cache ls` shows it. */
export interface CachedModel {
  /** What it was called where. Empty where nothing points to it any more. */
  readonly names: readonly { readonly name: string; readonly endpoint: string }[]
  readonly directory: string
  /** Files under their final names; each was verified when it came. */
  readonly files: readonly { readonly path: string; readonly sizeBytes: number }[]
  readonly sizeBytes: number
  /** Bytes of downloads that are not whole. */
  readonly unfinishedBytes: number
  /** When it was last asked for by name, ISO 8601. */
  readonly usedAt?: string
}

/**
 * The models in the cache, those used last first.
 * @param cache folder of the cache; $MQ_CACHE, else mq in the user's cache folder.
 */
export async function listCache(cache: string = cacheDirectory()): Promise<CachedModel[]> {
  const records = await readRecords(cache)
  const models: CachedModel[] = []
  for (const folder of await contentFolders(cache)) {
    const own = records.map(({ record }) => record).filter((record) => record.folder === folder)
    const directory = join(cache, folder)
    const all = await filesBelow(directory)
    const files = all.filter(({ path }) => !isUnfinished(path))
    const usedAt = own
      .map((record) => record.usedAt)
      .sort()
      .at(-1)
    models.push({
      names: own.map(({ name, endpoint }) => ({ name, endpoint })),
      directory,
      files,
      sizeBytes: sum(files),
      unfinishedBytes: sum(all) - sum(files),
      usedAt,
    })
  }
  return models.sort((a, b) => ((a.usedAt ?? '') < (b.usedAt ?? '') ? 1 : -1))
}

/** Folders of models, from the cache's own on: models/NS/NAME/HASH, and models/NAME/HASH for old names of the hub. */
async function contentFolders(cache: string): Promise<string[]> {
  const found: string[] = []
  const visit = async (folder: string, depth: number): Promise<void> => {
    for (const name of await foldersIn(join(cache, folder))) {
      if (depth > 0 && /^[0-9a-f]{16}$/.test(name)) found.push(`${folder}/${name}`)
      else if (depth < 2) await visit(`${folder}/${name}`, depth + 1)
    }
  }
  await visit('models', 0)
  return found
}

async function foldersIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
}

async function filesBelow(directory: string): Promise<{ path: string; sizeBytes: number }[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true })
  const files = entries.filter((entry) => entry.isFile())
  return Promise.all(
    files.map(async ({ parentPath, name }) => {
      const absolute = join(parentPath, name)
      const size = (await stat(absolute).catch(() => undefined))?.size ?? 0
      return { path: absolute.slice(directory.length + 1), sizeBytes: size }
    }),
  )
}

/** Whether a path is that of a download in progress, or of its lock. */
export function isUnfinished(path: string): boolean {
  return path.endsWith('.partial') || path.endsWith('.partial.lock')
}

function sum(files: readonly { readonly sizeBytes: number }[]): number {
  return files.reduce((total, { sizeBytes }) => total + sizeBytes, 0)
}
