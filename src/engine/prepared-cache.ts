import { sizeOf } from './prepared-bytes.js'
import type { Prepared, PreparedKey } from './task.js'

/** What tasks under way need that is made of covariances, and as much of what was needed before as there is room for. */
export interface Shelf {
  /** Bytes of what is in use, or being made. */
  readonly usedBytes: number
  has(key: PreparedKey): boolean
  /** What more would be used with these. */
  missingBytes(keys: readonly PreparedKey[]): number
  /** Forgets what is not in use, the longest unused first, until all takes at most so many bytes or only what is used is left. */
  shrinkTo(bytes: number): void
  /** Makes what is not there, and holds it all until it is released. */
  take(keys: readonly PreparedKey[]): Promise<Prepared[]>
  release(keys: readonly PreparedKey[]): void
}

interface Kept {
  readonly prepared: Promise<Prepared>
  bytes: number
  users: number
}

/**
 * An empty cache.
 * @param make prepares in a worker, of the input's covariance what is made of that: it comes from the cache, too, so that it is made once.
 * @param bytesOf about what it takes to make one.
 */
export function newPreparedCache(
  make: (key: PreparedKey, covariance?: Prepared) => Promise<Prepared>,
  bytesOf: (key: PreparedKey) => number,
): Shelf {
  // In the order of their last use.
  const kept = new Map<string, Kept>()
  const begin = (key: PreparedKey): Kept => {
    const prepared = makeFromShelf(key).then((made) => {
      begun.bytes = sizeOf(made)
      return made
    })
    const begun: Kept = { prepared, bytes: bytesOf(key), users: 0 }
    return begun
  }
  const take = (key: PreparedKey): Promise<Prepared> => {
    const name = keyText(key)
    const found = kept.get(name) ?? begin(key)
    found.users += 1
    kept.delete(name)
    kept.set(name, found)
    return found.prepared
  }
  const release = (key: PreparedKey): void => {
    const found = kept.get(keyText(key))
    if (found !== undefined) found.users -= 1
  }
  const makeFromShelf = async (key: PreparedKey): Promise<Prepared> => {
    const origin = originOf(key)
    if (origin === undefined) return await make(key)
    try {
      return await make(key, await take(origin))
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
        total -= entry.bytes
      }
    },
    take: (keys) => Promise.all(keys.map(take)),
    release(keys) {
      for (const key of keys) release(key)
    },
  }
}

/** What tells keys apart. */
export function keyText({ input, form, damping }: PreparedKey): string {
  return `${form} ${damping} ${input}`
}

/** What a thing is made from; undefined where that is not on the cache. */
export function originOf({ input, form, columns }: PreparedKey): PreparedKey | undefined {
  return form === 'covariance' || form === 'held-out' ? undefined : { input, form: 'covariance', damping: 0, columns }
}
