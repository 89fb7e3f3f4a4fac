import { keyText } from './executor.js'
import type { PreparedKey } from './task.js'

/** Cache of data prepared from covariances: what running tasks need, and as much of what earlier tasks needed as fits. */
export interface PreparedCache {
  /** Bytes in use or in preparation. */
  readonly usedBytes: number
  has(key: PreparedKey): boolean
  /** Additional bytes in use with these keys. */
  missingBytes(keys: readonly PreparedKey[]): number
  /** Evicts unused data, least recently used first, until at most `bytes` are held or only data in use is left. */
  shrinkTo(bytes: number): void
  /** Prepares what is missing, and keeps it all until it is released. */
  take(keys: readonly PreparedKey[]): Promise<void>
  release(keys: readonly PreparedKey[]): void
}

interface Kept {
  readonly key: PreparedKey
  readonly ready: Promise<void>
  bytes: number
  users: number
}

/**
 * An empty cache.
 * @param make prepares data with the executor. `origin`: the cached covariance to compute it from, so that it is prepared once. Resolves to
 *   the size in bytes.
 * @param bytesOf estimated bytes to prepare one.
 * @param forget discards it in the executor.
 */
export function newPreparedCache(
  make: (key: PreparedKey, origin?: PreparedKey) => Promise<number>,
  bytesOf: (key: PreparedKey) => number,
  forget: (key: PreparedKey) => void,
): PreparedCache {
  // In the order of their last use.
  const kept = new Map<string, Kept>()
  const begin = (key: PreparedKey): Kept => {
    const make = async (): Promise<void> => {
      const bytes = await makeFromOrigin(key)
      begun.bytes = bytes
    }
    const begun: Kept = { key, ready: make(), bytes: bytesOf(key), users: 0 }
    return begun
  }
  const take = (key: PreparedKey): Promise<void> => {
    const name = keyText(key)
    const found = kept.get(name) ?? begin(key)
    found.users += 1
    kept.delete(name)
    kept.set(name, found)
    return found.ready
  }
  const release = (key: PreparedKey): void => {
    const found = kept.get(keyText(key))
    if (found !== undefined) found.users -= 1
  }
  const makeFromOrigin = async (key: PreparedKey): Promise<number> => {
    const origin = originOf(key)
    if (origin === undefined) return await make(key)
    try {
      await take(origin)
      return await make(key, origin)
    } finally {
      release(origin)
    }
  }
  return {
    get usedBytes() {
      return [...kept.values()].reduce((sum, { users, bytes }) => sum + (users > 0 ? bytes : 0), 0)
    },
    has: (key) => kept.has(keyText(key)),
    missingBytes(keys) {
      const wanted = new Map<string, PreparedKey>()
      for (const key of keys) {
        wanted.set(keyText(key), key)
        const origin = kept.has(keyText(key)) ? undefined : originOf(key)
        if (origin !== undefined) wanted.set(keyText(origin), origin)
      }
      return [...wanted].reduce((sum, [name, key]) => {
        const found = kept.get(name)
        return sum + (found === undefined ? bytesOf(key) : found.users === 0 ? found.bytes : 0)
      }, 0)
    },
    shrinkTo(bytes) {
      let total = [...kept.values()].reduce((sum, entry) => sum + entry.bytes, 0)
      for (const [name, entry] of kept) {
        if (total <= bytes) return
        if (entry.users > 0) continue
        kept.delete(name)
        forget(entry.key)
        total -= entry.bytes
      }
    },
    async take(keys) {
      await Promise.all(keys.map(take))
    },
    release(keys) {
      for (const key of keys) release(key)
    },
  }
}

/** The covariance that prepared data is computed from; undefined for data that is computed from the source. */
export function originOf({ input, form, columns }: PreparedKey): PreparedKey | undefined {
  return form === 'covariance' || form === 'held-out' ? undefined : { input, form: 'covariance', damping: 0, columns }
}
