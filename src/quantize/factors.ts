import type { Covariance, FeedbackFactor } from '../../formats/ggml/feedback.js'
import type { FactorKey } from './task.js'

/** The factors that tasks under way need, and as many of those before them as there is room for. */
export interface Factors {
  /** Bytes of those in use, or being made. */
  readonly usedBytes: number
  has(key: FactorKey): boolean
  /** What more would be used with these. */
  missingBytes(keys: readonly FactorKey[]): number
  /** Forgets those not in use, the longest unused first, until all take at most so many bytes or only used ones are left. */
  shrinkTo(bytes: number): void
  /** Makes those that are not there, and holds them until they are released. */
  take(keys: readonly FactorKey[]): Promise<FeedbackFactor[]>
  release(keys: readonly FactorKey[]): void
}

interface Kept {
  readonly factor: Promise<FeedbackFactor>
  bytes: number
  users: number
}

/**
 * No factors yet.
 * @param make prepares one in a worker.
 * @param bytesOf about what it takes to make one.
 */
export function newFactors(make: (key: FactorKey) => Promise<FeedbackFactor>, bytesOf: (key: FactorKey) => number): Factors {
  // In the order of their last use.
  const kept = new Map<string, Kept>()
  const usedBytes = (): number => [...kept.values()].reduce((sum, { users, bytes }) => sum + (users > 0 ? bytes : 0), 0)
  const take = (key: FactorKey): Promise<FeedbackFactor> => {
    const name = keyText(key)
    const found = kept.get(name) ?? begin(key)
    found.users += 1
    kept.delete(name)
    kept.set(name, found)
    return found.factor
  }
  const begin = (key: FactorKey): Kept => {
    const making = make(key).then((factor) => {
      made.bytes = Object.values(factor.tables).reduce((sum, { byteLength }) => sum + byteLength, 0)
      return factor
    })
    const made: Kept = { factor: making, bytes: bytesOf(key), users: 0 }
    return made
  }
  return {
    get usedBytes() {
      return usedBytes()
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

/** What tells factors apart. */
export function keyText({ input, layout, damping }: FactorKey): string {
  return `${layout} ${damping} ${input}`
}

/** About what the tables of a factor take. @param covariance one of the same size. */
export function tableBytes(covariance: Covariance, columns: number): number {
  if ('full' in covariance) return 4 * columns * (34 + columns / 2)
  return 4 * columns * (34 + 2 * depthOf(covariance, columns))
}

/** About what it takes to make a factor: the covariance here and in the worker, what is worked with, the tables. */
export function makingBytes(covariance: Covariance, columns: number): number {
  const worked = 'full' in covariance ? 3 * covariance.full.byteLength : 4 * 8 * columns * (1 + depthOf(covariance, columns))
  return worked + tableBytes(covariance, columns)
}

function depthOf({ factors }: Exclude<Covariance, { full: unknown }>, columns: number): number {
  return Math.max(4, 4 * Math.ceil((factors?.length ?? 0) / columns / 4))
}
