import { randomUUID } from 'node:crypto'
import { readlink, rename, symlink, unlink } from 'node:fs/promises'
import { MqError } from '../errors/index.js'
import { hasEnded, ownIdentity } from './process-identity.js'

/**
 * Keeps other processes from writing the same output. The lock is a symbolic link that leads nowhere: its text, PLACE:PID:START, appears
 * with its name in one step and takes no room on a full disk. A lock whose process has ended is taken over; START tells it from a later
 * process of the same number.
 * @returns what gives the lock back.
 * @throws MqError OUTPUT_BUSY; Node's own errors where the folder cannot be written.
 */
export async function lockOutput(output: string): Promise<() => Promise<void>> {
  const path = `${output}.partial.lock`
  const own = await ownText()
  while (!(await tryTake(path, own))) {
    const holder = await holderOf(path)
    if (holder === undefined) continue
    if (!(await isGone(holder))) throw MqError.of('OUTPUT_BUSY', { path: output, lock: path })
    await evict(path, holder)
  }
  return async () => {
    if ((await holderOf(path)) === own) await unlink(path)
  }
}

async function tryTake(path: string, own: string): Promise<boolean> {
  try {
    await symlink(own, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Undefined where the lock is gone by now. */
async function holderOf(path: string): Promise<string | undefined> {
  try {
    return await readlink(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    // A file of that name that is not a lock of ours.
    if (code === 'EINVAL') return ''
    throw error
  }
}

/** Whether the process that a lock names is known to be gone. */
async function isGone(holder: string): Promise<boolean> {
  const [, place, pid, start] = /^([0-9a-f]{16}):(\d+):(\d*)$/.exec(holder) ?? []
  return place !== undefined && pid !== undefined && (await hasEnded({ place, pid: Number(pid), start: start ?? '' }))
}

/** Moved aside first and looked at there: between looking and moving, another may have evicted it and taken the lock. */
async function evict(path: string, holder: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`
  try {
    await rename(path, aside)
  } catch {
    return
  }
  const moved = await holderOf(aside)
  if (moved !== undefined && moved !== holder) await tryTake(path, moved)
  await unlink(aside)
}

async function ownText(): Promise<string> {
  const { place, pid, start } = await ownIdentity()
  return `${place}:${pid}:${start}`
}
