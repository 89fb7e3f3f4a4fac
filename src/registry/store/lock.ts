import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MqError } from '../../errors/index.js'
import { sharedLock } from '../../files/index.js'
import { locksDirectory, type Store } from './store.js'
import { temporaryPath } from './temporary.js'

/** Time limit for acquiring a lock: longer than the silence after which a stale lock is taken over. */
const waitAtMostMs = 90_000
const longestPauseMs = 50

/** A held lock. */
export interface Lock {
  /** Checks that the lock is still held; call it right before the change. @throws MqError REGISTRY_BUSY where it was taken over as stale. */
  confirm(): Promise<void>
}

/**
 * Runs `work` with an exclusive lock on `name` across processes, containers and machines.
 * @param name what is locked, whatever its case: two spellings denote one repository.
 * @throws MqError REGISTRY_BUSY when the lock stays taken.
 */
export async function withLock<Result>(store: Store, name: string, work: (lock: Lock) => Promise<Result>): Promise<Result> {
  const path = join(locksDirectory(store), `${encodeURIComponent(name.toLowerCase())}.lock`)
  const tryLock = sharedLock(path, () => temporaryPath(store, 'lock'))
  const deadline = performance.now() + waitAtMostMs
  let held = await tryLock()
  for (let attempt = 0; held === undefined; attempt++) {
    if (performance.now() > deadline) throw MqError.of('REGISTRY_BUSY', { path: store.directory })
    await sleep(Math.random() * Math.min(longestPauseMs, 2 + attempt))
    held = await tryLock()
  }
  const lock = held
  const confirm = async (): Promise<void> => {
    if (!(await lock.isHeld())) throw MqError.of('REGISTRY_BUSY', { path: store.directory })
  }
  try {
    return await work({ confirm })
  } finally {
    await lock.release()
  }
}
