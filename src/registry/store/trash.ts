import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { blobPath, isDigest } from './blobs.js'
import { type Store, trashDirectory } from './store.js'

/**
 * Moves a blob to the trash, from where it can be restored: garbage collection may be killed, and a tag may reference the blob meanwhile.
 */
export async function moveToTrash(store: Store, digest: string): Promise<void> {
  await mkdir(trashDirectory(store), { recursive: true })
  await rename(blobPath(store, digest), trashPath(store, digest)).catch(ignoreMissing)
}

/** Restores a blob from the trash, if it is there. */
export async function fetchFromTrash(store: Store, digest: string): Promise<void> {
  await rename(trashPath(store, digest), blobPath(store, digest)).catch(ignoreMissing)
}

/** Restores reachable blobs, also those of an earlier collection that was killed, and deletes the rest. @returns the deleted blobs. */
export async function emptyTrash(store: Store, isReachable: (digest: string) => boolean): Promise<string[]> {
  const names = await readdir(trashDirectory(store)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const deleted: string[] = []
  for (const name of names) {
    const digest = `sha256:${name}`
    if (!isDigest(digest)) continue
    if (isReachable(digest)) await fetchFromTrash(store, digest)
    else {
      await rm(trashPath(store, digest), { force: true })
      deleted.push(digest)
    }
  }
  return deleted
}

function trashPath(store: Store, digest: string): string {
  return join(trashDirectory(store), basename(blobPath(store, digest)))
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}
