import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { blobPath, isDigest } from './blobs.js'
import { type Store, trashDirectory } from './store.js'

/**
 * Takes a blob out of the store, from where it can come back: whoever collects garbage may be killed, and somebody may have pointed to the
 * blob meanwhile.
 */
export async function moveToTrash(store: Store, digest: string): Promise<void> {
  await mkdir(trashDirectory(store), { recursive: true })
  await rename(blobPath(store, digest), trashPath(store, digest)).catch(ignoreMissing)
}

/** Puts a blob back, where it is in the trash. */
export async function fetchFromTrash(store: Store, digest: string): Promise<void> {
  await rename(trashPath(store, digest), blobPath(store, digest)).catch(ignoreMissing)
}

/** Puts back what is reachable, also of an earlier collection that was killed, and deletes the rest. Returns what was deleted. */
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
