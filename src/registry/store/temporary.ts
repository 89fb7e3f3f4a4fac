import { randomUUID } from 'node:crypto'
import { readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { writeWholeFile } from '../../../formats/whole-file.js'
import { hasEnded, ownIdentity } from '../../files/index.js'
import { type Store, syncDirectory, temporaryDirectory } from './store.js'

/** Time without writes after which an unfinished file counts as abandoned. */
const abandonedAfterMs = 24 * 3600 * 1000

/** Returns a new path for an unfinished file; its name contains the process id. @param kind suffix of the name. */
export async function temporaryPath(store: Store, kind = 'part'): Promise<string> {
  const { place, pid, start } = await ownIdentity()
  return join(temporaryDirectory(store), `${place}.${pid}.${start}.${randomUUID()}.${kind}`)
}

/** Writes a file atomically: to a temporary file, which is synced and renamed. Readers see the old content or the new. */
export async function writeAtomically(store: Store, path: string, bytes: Uint8Array | string): Promise<void> {
  const content = Buffer.from(bytes)
  await writeWholeFile(path, (append) => append(content), await temporaryPath(store))
  await syncDirectory(dirname(path))
}

/** Returns whether an unfinished file is abandoned: its writer has ended, or has not written for a day. */
export async function isAbandoned(path: string, name: string): Promise<boolean> {
  const [place = '', pid, start = ''] = name.split('.')
  if (/^[0-9a-f]{16}$/.test(place) && (await hasEnded({ place, pid: Number(pid), start }))) return true
  const entry = await stat(path).catch(() => undefined)
  return entry !== undefined && Date.now() - entry.mtimeMs > abandonedAfterMs
}

/** Removes the unfinished files of killed writers. */
export async function sweepTemporaries(store: Store): Promise<void> {
  for (const name of await readdir(temporaryDirectory(store))) {
    const path = join(temporaryDirectory(store), name)
    if (await isAbandoned(path, name)) await rm(path, { force: true, recursive: true })
  }
}
