import { keyText } from './executor.js'
import type { PreparedKey } from './task.js'

/** What tasks under way need that is made of covariances, and as much of what was needed before as there is room for. */
export interface PreparedCache {
  /** Bytes of what is in use, or being made. */
  readonly usedBytes: number
  has(key: PreparedKey): boolean
  /** Additional bytes in use with these keys. */
  missingBytes(keys: readonly PreparedKey[]): number
  /** Evicts unused data, least recently used first, until at most `bytes` are held or only data in use is left. */
  shrinkTo(bytes: number): void
  /** Makes what is not there, and holds it all until it is released. */
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
 * @param make has the executor prepare one, of the input's covariance what is made of that: it comes from the cache, too, so that it is made
 *   once. Resolves to the bytes that it takes.
 * @param bytesOf about what it takes to make one.
 * @param forget has the executor forget one.
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

/** What a thing is made from; undefined where that is not kept. */
export function originOf({ input, form, columns }: PreparedKey): PreparedKey | undefined {
  return form === 'covariance' || form === 'held-out' ? undefined : { input, form: 'covariance', damping: 0, columns }
}
