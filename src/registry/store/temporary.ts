import { randomUUID } from 'node:crypto'
import { readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { writeWholeFile } from '../../../formats/whole-file.js'
import { hasEnded, ownIdentity } from '../../files/index.js'
import { type Store, syncDirectory, temporaryDirectory } from './store.js'

/** An unfinished file that nobody wrote to for so long is nobody's. */
const abandonedAfterMs = 24 * 3600 * 1000

/** A fresh path in the store's folder for unfinished files; its name says which process it belongs to. @param kind a word at its end. */
export async function temporaryPath(store: Store, kind = 'part'): Promise<string> {
  const { place, pid, start } = await ownIdentity()
  return join(temporaryDirectory(store), `${place}.${pid}.${start}.${randomUUID()}.${kind}`)
}

/** Puts `bytes` at `path` at once: written aside, synced, renamed. A reader sees the old content or the new. */
export async function writeAtomically(store: Store, path: string, bytes: Uint8Array | string): Promise<void> {
  const content = Buffer.from(bytes)
  await writeWholeFile(path, (append) => append(content), await temporaryPath(store))
  await syncDirectory(dirname(path))
}

/** Whether an unfinished file has lost its writer: one that is known to have ended, or that has not written for a day. */
export async function isAbandoned(path: string, name: string): Promise<boolean> {
  const [place = '', pid, start = ''] = name.split('.')
  if (/^[0-9a-f]{16}$/.test(place) && (await hasEnded({ place, pid: Number(pid), start }))) return true
  const entry = await stat(path).catch(() => undefined)
  return entry !== undefined && Date.now() - entry.mtimeMs > abandonedAfterMs
}

/** Removes what killed writers left behind. */
export async function sweepTemporaries(store: Store): Promise<void> {
  for (const name of await readdir(temporaryDirectory(store))) {
    const path = join(temporaryDirectory(store), name)
    if (await isAbandoned(path, name)) await rm(path, { force: true, recursive: true })
  }
}
