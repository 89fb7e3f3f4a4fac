import type { Covariance } from '../../formats/ggml/feedback.js'
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
 * An empty shelf.
 * @param make prepares in a worker.
 * @param bytesOf about what it takes to make one.
 */
export function newShelf(make: (key: PreparedKey) => Promise<Prepared>, bytesOf: (key: PreparedKey) => number): Shelf {
  // In the order of their last use.
  const kept = new Map<string, Kept>()
  const begin = (key: PreparedKey): Kept => {
    const prepared = make(key).then((made) => {
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
  return {
    get usedBytes() {
      return [...kept.values()].reduce((sum, { users, bytes }) => sum + (users > 0 ? bytes : 0), 0)
    },
    has: (key) => kept.has(keyText(key)),
    missingBytes: (keys) =>
      keys.reduce((sum, key) => {
        const found = kept.get(keyText(key))
        return sum + (found === undefined ? bytesOf(key) : found.users === 0 ? found.bytes : 0)
      }, 0),
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
      for (const key of keys) {
        const found = kept.get(keyText(key))
        if (found !== undefined) found.users -= 1
      }
    },
  }
}

/** What tells keys apart. */
export function keyText({ input, form, damping }: PreparedKey): string {
  return `${form} ${damping} ${input}`
}

function sizeOf(prepared: Prepared): number {
  if ('panels' in prepared) return prepared.panels.byteLength
  return Object.values(prepared.tables).reduce((sum, { byteLength }) => sum + byteLength, 0)
}

/** About what is made of a covariance, in bytes: the greatest of the forms. @param covariance one of the same size. */
export function preparedBytes(covariance: Covariance, columns: number): number {
  if ('full' in covariance) return 4 * columns * Math.max(columns, 34 + columns / 2)
  return 4 * columns * (34 + 2 * depthOf(covariance, columns))
}

/** About what it takes to make it: the covariance here and in the worker, what is worked with, what is made. */
export function makingBytes(covariance: Covariance, columns: number): number {
  const worked = 'full' in covariance ? 3 * covariance.full.byteLength : 4 * 8 * columns * (1 + depthOf(covariance, columns))
  return worked + preparedBytes(covariance, columns)
}

function depthOf({ factors }: Exclude<Covariance, { full: unknown }>, columns: number): number {
  return Math.max(4, 4 * Math.ceil((factors?.length ?? 0) / columns / 4))
}
