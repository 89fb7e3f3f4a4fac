import { randomUUID } from 'node:crypto'
import { link, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MqError } from '../../errors/index.js'
import { locksDirectory, type Store } from './store.js'
import { hostTag, isAlive, temporaryPath } from './temporary.js'

// The lock covers the rewriting of one small file, so a holder of a minute has died or sleeps; it looks again before it writes.
const staleAfterMs = 60_000
const waitAtMostMs = 90_000
const longestPauseMs = 50

/** A held lock. */
export interface Lock {
  /** Throws REGISTRY_BUSY if the lock was taken over because its holder slept. Call it right before the change is made. */
  confirm(): Promise<void>
}

interface Holder {
  readonly host: string
  readonly pid: number
  readonly token: string
}

/**
 * Runs `work` while no other process does the same for `name`. A lock left by a killed process of this machine is taken over at once,
 * one of another machine after a minute. Rejects with REGISTRY_BUSY when the lock stays taken.
 * @param name what is locked; upper and lower case are one, since two spellings name one repository.
 */
export async function withLock<Result>(store: Store, name: string, work: (lock: Lock) => Promise<Result>): Promise<Result> {
  const path = join(locksDirectory(store), `${encodeURIComponent(name.toLowerCase())}.lock`)
  const token = await acquire(store, path)
  const confirm = async (): Promise<void> => {
    if ((await readHolder(path))?.token !== token) throw MqError.of('REGISTRY_BUSY', { path: store.directory })
  }
  try {
    return await work({ confirm })
  } finally {
    if ((await readHolder(path))?.token === token) await rm(path, { force: true })
  }
}

async function acquire(store: Store, path: string): Promise<string> {
  const holder: Holder = { host: hostTag(), pid: process.pid, token: randomUUID() }
  const deadline = Date.now() + waitAtMostMs
  for (let attempt = 0; ; attempt++) {
    if (await tryTake(store, path, holder)) return holder.token
    if (await isStale(path)) {
      await evict(store, path)
      continue
    }
    if (Date.now() > deadline) throw MqError.of('REGISTRY_BUSY', { path: store.directory })
    await sleep(Math.random() * Math.min(longestPauseMs, 2 + attempt))
  }
}

// A link appears with its content; a file opened with `wx` would be seen empty for a moment.
async function tryTake(store: Store, path: string, holder: Holder): Promise<boolean> {
  const own = temporaryPath(store)
  await writeFile(own, JSON.stringify(holder), { flag: 'wx' })
  try {
    await link(own, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(own, { force: true })
  }
}

async function isStale(path: string): Promise<boolean> {
  const holder = await readHolder(path)
  if (holder?.host === hostTag() && !isAlive(holder.pid)) return true
  const entry = await stat(path).catch(() => undefined)
  return entry !== undefined && Date.now() - entry.mtimeMs > staleAfterMs
}

// Moved aside first and judged again there: between looking and moving, another may have evicted it and taken the lock.
async function evict(store: Store, path: string): Promise<void> {
  const aside = temporaryPath(store)
  try {
    await rename(path, aside)
  } catch {
    return
  }
  if (!(await isStale(aside))) await link(aside, path).catch(() => undefined)
  await rm(aside, { force: true })
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Holder
  } catch {
    return undefined
  }
}
