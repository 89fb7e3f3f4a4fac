import { mkdir, open } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/**
 * A registry on disk:
 *
 *     DIR/blobs/sha256/HEX                         every file, configuration and manifest, by its SHA-256
 *     DIR/repositories/NS/NAME/oci-layout          an OCI image layout for each repository,
 *     DIR/repositories/NS/NAME/index.json          its tags,
 *     DIR/repositories/NS/NAME/blobs -> DIR/blobs  and a link to the shared blobs
 *     DIR/locks, DIR/tmp                           locks and unfinished files of writers
 *     DIR/trash                                    blobs that garbage collection is about to delete
 */
export interface Store {
  /** Absolute path of DIR. */
  readonly directory: string
}

/** Opens the store at `directory`. No folder is created before the first write. */
export function openStore(directory: string): Store {
  return { directory: resolve(directory) }
}

/** Returns the default folder of the registry: $MQ_REGISTRY, else mq/registry under the user's data folder (XDG). */
export function defaultRegistryDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const { MQ_REGISTRY: own, XDG_DATA_HOME: data } = environment
  return own ? resolve(own) : join(data || join(homedir(), '.local', 'share'), 'mq', 'registry')
}

/** Returns the folder of blobs. */
export function blobsDirectory(store: Store): string {
  return join(store.directory, 'blobs', 'sha256')
}

/** Returns the folder of repositories. */
export function repositoriesDirectory(store: Store): string {
  return join(store.directory, 'repositories')
}

/** Returns the folder of unfinished files. */
export function temporaryDirectory(store: Store): string {
  return join(store.directory, 'tmp')
}

/** Returns the folder of blobs that garbage collection is about to delete. */
export function trashDirectory(store: Store): string {
  return join(store.directory, 'trash')
}

/** Returns the folder of locks. */
export function locksDirectory(store: Store): string {
  return join(store.directory, 'locks')
}

/** Creates the folders that writers need. */
export async function prepareStore(store: Store): Promise<void> {
  for (const directory of [
    blobsDirectory(store),
    repositoriesDirectory(store),
    temporaryDirectory(store),
    locksDirectory(store),
  ]) {
    await mkdir(directory, { recursive: true })
  }
}

/** Syncs a folder, so that renames in it survive a power failure. Where folders cannot be synced, such as on Windows, it does nothing. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r').catch(() => undefined)
  if (handle === undefined) return
  try {
    await handle.sync()
  } catch {
    // Some file systems refuse to sync a folder; the rename is atomic nevertheless.
  } finally {
    await handle.close()
  }
}
