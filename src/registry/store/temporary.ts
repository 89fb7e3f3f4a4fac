import { randomUUID } from 'node:crypto'
import { open, readdir, rename, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { type Store, syncDirectory, temporaryDirectory } from './store.js'

const abandonedAfterMs = 7 * 24 * 3600 * 1000

/** A fresh path in the store's folder for unfinished files; its name says which process it belongs to. */
export function temporaryPath(store: Store): string {
  return join(temporaryDirectory(store), `${hostTag()}.${process.pid}.${randomUUID()}`)
}

/** Puts `bytes` at `path` at once: written aside, synced, renamed. A reader sees the old content or the new. */
export async function writeAtomically(store: Store, path: string, bytes: Uint8Array | string): Promise<void> {
  const temporary = temporaryPath(store)
  try {
    const handle = await open(temporary, 'wx')
    try {
      await handle.writeFile(bytes)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncDirectory(dirname(path))
}

/** Removes what killed writers left behind: files of dead processes of this machine, and any a week old. */
export async function sweepTemporaries(store: Store): Promise<void> {
  for (const entry of await readdir(temporaryDirectory(store))) {
    const path = join(temporaryDirectory(store), entry)
    const [host, pid] = entry.split('.')
    const dead = host === hostTag() && !isAlive(Number(pid))
    if (dead || (await isOld(path))) await rm(path, { force: true, recursive: true })
  }
}

/** Whether a process of this machine runs. */
export function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** This machine's name, fit for a file name and free of dots. */
export function hostTag(): string {
  return hostname().replaceAll(/[^A-Za-z0-9-]/g, '_') || 'host'
}

async function isOld(path: string): Promise<boolean> {
  const entry = await stat(path).catch(() => undefined)
  return entry !== undefined && Date.now() - entry.mtimeMs > abandonedAfterMs
}
