import { appendFile, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { MqError } from '../../errors/index.js'
import { type Store, temporaryDirectory } from './store.js'
import { isAbandoned, temporaryPath } from './temporary.js'

/** Protects blobs of a writer from garbage collection until a tag references them. */
export interface Pin {
  /** Pins a digest; call it before the blob exists. */
  add(digest: string): Promise<void>
  release(): Promise<void>
}

/** Opens a pin. Release it when a tag references the blobs, or the work is abandoned. @throws Node's own errors. */
export async function pinBlobs(store: Store): Promise<Pin> {
  const path = await temporaryPath(store, 'pin')
  return {
    add: (digest) => appendFile(path, `${digest}\n`),
    release: () => rm(path, { force: true }),
  }
}

/** Reads the digests that active writers have pinned. */
export async function readPins(store: Store): Promise<Set<string>> {
  const names = await readdir(temporaryDirectory(store)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw MqError.from(error)
  })
  const pinned = new Set<string>()
  for (const name of names.filter((candidate) => candidate.endsWith('.pin'))) {
    const path = join(temporaryDirectory(store), name)
    if (await isAbandoned(path, name)) continue
    const text = await readFile(path, 'utf8').catch(() => '')
    for (const line of text.split('\n')) if (line !== '') pinned.add(line)
  }
  return pinned
}
