import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MqError } from '../../errors/index.js'
import {
  findRepository,
  isCommit,
  parseModelName,
  type Repository,
  type Revisions,
  readRevisions,
  type Snapshot,
  type Store,
} from '../store/index.js'

const rememberedSnapshots = 1024

/** A repository with its revisions at the time of the request. */
export interface CatalogEntry extends Revisions {
  readonly repository: Repository
  /** When a tag was last moved. */
  readonly modified: Date
}

/** Repositories and revisions for the HTTP APIs. */
export interface Catalog {
  readonly store: Store
  /** Finds a repository. @returns undefined where it does not exist or the name is invalid. @throws MqError REGISTRY_CORRUPT. */
  find(namespace: string, name: string): Promise<CatalogEntry | undefined>
  /** Finds the files of `main`, of a tag or of a commit. @throws MqError REGISTRY_CORRUPT where the tag's manifest is damaged. */
  revision(entry: CatalogEntry, revision: string): Snapshot | undefined
}

/**
 * Creates a catalog that remembers the commits it has returned: a client lists a commit first and fetches its files afterwards, and
 * another tag may be published in between.
 */
export function createCatalog(store: Store): Catalog {
  const remembered = new Map<string, Snapshot>()
  const keyOf = (repository: Repository, commit: string): string => `${repository.name}@${commit}`
  const remember = (repository: Repository, snapshot: Snapshot): void => {
    const key = keyOf(repository, snapshot.commit)
    remembered.delete(key)
    remembered.set(key, snapshot)
    const [oldest] = remembered.keys()
    if (remembered.size > rememberedSnapshots && oldest !== undefined) remembered.delete(oldest)
  }

  return {
    store,
    async find(namespace, name) {
      const repository = await findNamed(store, namespace, name)
      if (repository === undefined) return undefined
      const revisions = await readRevisions(store, repository)
      for (const snapshot of [...revisions.tags.values(), revisions.main]) remember(repository, snapshot)
      const { mtime } = await stat(join(repository.directory, 'index.json'))
      return { repository, modified: mtime, ...revisions }
    },
    revision({ repository, main, tags, damaged }, revision) {
      const fault = damaged.find(({ tag }) => tag === revision)
      if (fault !== undefined) throw MqError.of('REGISTRY_CORRUPT', { path: store.directory, problem: fault.problem })
      if (revision === 'main' || revision === 'HEAD') return main
      return tags.get(revision) ?? (isCommit(revision) ? remembered.get(keyOf(repository, revision)) : undefined)
    },
  }
}

async function findNamed(store: Store, namespace: string, name: string): Promise<Repository | undefined> {
  try {
    return await findRepository(store, parseModelName(`${namespace}/${name}`))
  } catch (error) {
    if (MqError.from(error).code === 'NAME_INVALID') return undefined
    throw error
  }
}
