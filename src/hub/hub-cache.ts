import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { linkFile } from '../files/index.js'
import type { Listing, RemoteFile } from './listing.js'

/**
 * The cache that the tools of Hugging Face share: $HF_HUB_CACHE, else `hub` in $HF_HOME, else in ~/.cache/huggingface.
 * Source: huggingface_hub, constants.py.
 */
function hubCacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const { HF_HUB_CACHE: own, HUGGINGFACE_HUB_CACHE: older, HF_HOME: home, XDG_CACHE_HOME: cache } = environment
  return own || older || join(home || join(cache || join(homedir(), '.cache'), 'huggingface'), 'hub')
}

/**
 * A repository's place in that cache: `models--NS--NAME`, with contents in `blobs/`, named by their hashes, and names in
 * `snapshots/COMMIT/` as links to them. Source: huggingface_hub, file_download.py, and its guide "Understand caching".
 */
export interface RepositoryCache {
  /** Where contents lie. */
  readonly blobs: string
  /** The name of a file's content there. */
  readonly nameOf: (file: RemoteFile) => string
  /** The folder of a commit. */
  snapshotOf(commit: string): string
  /** Names files of a listing, whose contents are there, and notes what a branch or tag means. @param revision as it was asked for. */
  link(listing: Listing, files: readonly RemoteFile[], revision: string): Promise<void>
  /** The folder of the commit that a branch or tag last meant, or of a commit; undefined where nothing of it is there. */
  find(revision: string): Promise<string | undefined>
}

/** The place of a repository. @param repo `NS/NAME`. */
export function repositoryCache(repo: string, cache = hubCacheDirectory()): RepositoryCache {
  const folder = join(cache, `models--${repo.replaceAll('/', '--')}`)
  const blobs = join(folder, 'blobs')
  const snapshotOf = (commit: string): string => join(folder, 'snapshots', commit)
  return {
    blobs,
    snapshotOf,
    nameOf: ({ hash }) => hash.value,
    async link({ commit }, files, revision) {
      for (const file of files) await linkFile(join(snapshotOf(commit), file.path), join(blobs, file.hash.value))
      if (revision === commit) return
      const ref = join(folder, 'refs', revision)
      await mkdir(dirname(ref), { recursive: true })
      await writeFile(ref, commit)
    },
    async find(revision) {
      const ref = await readFile(join(folder, 'refs', revision), 'utf8').catch(() => revision)
      if (!/^[0-9a-f]{40}$/.test(ref.trim())) return undefined
      const found = snapshotOf(ref.trim())
      return (await stat(found).catch(() => undefined))?.isDirectory() === true ? found : undefined
    },
  }
}
