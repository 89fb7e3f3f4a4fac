import { randomUUID } from 'node:crypto'
import { type FileHandle, link, lstat, open, rename, rm, writeFile } from 'node:fs/promises'
import { hasEnded, ownIdentity, type ProcessIdentity } from './process-identity.js'

const heartbeatMs = 10_000
/** A lock that does not change for so long, while somebody watches, has lost its holder. */
const silentForMs = 60_000
/** One that is older than this when it is first seen has lost it, too. Much more than clocks of two machines differ. */
const abandonedAfterMs = 15 * 60_000

/** A lock that this process holds. */
export interface HeldLock {
  /** Whose it was before. From a `silent` holder it was taken without knowing that the holder is gone. */
  readonly takenFrom: 'nobody' | 'ended' | 'silent'
  /** Whether it is still ours: a process that was stopped for a while may have lost it. Ask right before the change is made. */
  isHeld(): Promise<boolean>
  release(): Promise<void>
}

interface Holder extends ProcessIdentity {
  readonly token: string
}

/** What one look at a lock of another's found. */
interface Sight {
  readonly holder: Holder | undefined
  readonly token: string
  readonly modifiedMs: number
}

/**
 * A lock on a file, for processes, containers and machines that share a disk, on file systems without links of any kind. The file is made
 * with O_EXCL and touched every ten seconds while it is held. A lock whose holder is known to have ended is taken over at once, one whose
 * holder cannot be seen from here when it has not been touched for a minute.
 * @param path of the lock itself; its folder must exist.
 * @param asidePath where a lock that is taken over is moved to first, on the same file system; by default beside it. Who is killed in that
 * moment leaves it there.
 * @returns a function that tries to take it, to be called again and again by who wants to wait: watching takes more than one look. It
 * resolves to undefined while another holds the lock.
 * @throws Node's own errors where the folder cannot be written.
 */
export function sharedLock(
  path: string,
  asidePath: () => Promise<string> = async () => `${path}.${randomUUID()}`,
): () => Promise<HeldLock | undefined> {
  let seen: { sight: Sight; since: number } | undefined
  return async () => {
    const fresh = await take(path, 'nobody')
    if (fresh !== undefined) return fresh
    const sight = await look(path)
    if (sight === undefined) return take(path, 'nobody')
    if (seen?.sight.token !== sight.token || seen.sight.modifiedMs !== sight.modifiedMs)
      seen = { sight, since: performance.now() }
    const ended = sight.holder !== undefined && (await hasEnded(sight.holder))
    const silent = performance.now() - seen.since > silentForMs || Date.now() - sight.modifiedMs > abandonedAfterMs
    if (!ended && !silent) return undefined
    if (!(await evict(path, sight, await asidePath()))) return undefined
    return take(path, ended ? 'ended' : 'silent')
  }
}

async function take(path: string, takenFrom: HeldLock['takenFrom']): Promise<HeldLock | undefined> {
  const token = randomUUID()
  const text = JSON.stringify({ ...(await ownIdentity()), token })
  let handle: FileHandle
  try {
    handle = await open(path, 'wx')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
    throw error
  }
  // Only this handle is touched: if another has taken the lock over, its file is left alone.
  const beat = setInterval(() => {
    const now = new Date()
    handle.utimes(now, now).catch(() => undefined)
  }, heartbeatMs)
  beat.unref()
  const isHeld = async (): Promise<boolean> => (await look(path))?.token === token
  const release = async (): Promise<void> => {
    clearInterval(beat)
    await handle.close()
    if (await isHeld()) await rm(path, { force: true })
  }
  try {
    await handle.writeFile(text)
  } catch (error) {
    clearInterval(beat)
    await handle.close()
    await rm(path, { force: true })
    throw error
  }
  return { takenFrom, isHeld, release }
}

/** Undefined where the lock is gone by now. What cannot be read as one of ours has an empty token. */
async function look(path: string): Promise<Sight | undefined> {
  try {
    // Opened, not only looked at: network file systems answer from a cache otherwise.
    const handle = await open(path, 'r')
    try {
      const { mtimeMs } = await handle.stat()
      const holder = parse(await handle.readFile('utf8'))
      return { holder, token: holder?.token ?? '', modifiedMs: mtimeMs }
    } finally {
      await handle.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    // A symbolic link to nothing is a lock of another kind: held, by whom is not known here.
    const entry = await lstat(path).catch(() => undefined)
    return entry === undefined ? undefined : { holder: undefined, token: 'link', modifiedMs: Date.now() }
  }
}

function parse(text: string): Holder | undefined {
  try {
    const { place, pid, start, token } = JSON.parse(text) as Partial<Holder>
    if (typeof place !== 'string' || typeof pid !== 'number' || typeof start !== 'string' || typeof token !== 'string')
      return undefined
    return { place, pid, start, token }
  } catch {
    return undefined
  }
}

/** Moved aside first and looked at there: between looking and moving, another may have evicted it and taken the lock. */
async function evict(path: string, judged: Sight, aside: string): Promise<boolean> {
  try {
    await rename(path, aside)
  } catch {
    return false
  }
  const moved = await look(aside)
  const right = moved === undefined || moved.token === judged.token
  if (!right) await putBack(aside, path, moved)
  await rm(aside, { force: true })
  return right
}

async function putBack(aside: string, path: string, { holder }: Sight): Promise<void> {
  try {
    await link(aside, path)
  } catch {
    await writeFile(path, JSON.stringify(holder), { flag: 'wx' }).catch(() => undefined)
  }
}
