import { setTimeout as sleep } from 'node:timers/promises'

const attemptsWithoutProgress = 5
const longestPauseMs = 30_000

/** Something that may go better next time: a lost connection, an overloaded server. */
export class TransientError extends Error {
  override readonly name = 'TransientError'
  /** What the server asked for in Retry-After. */
  readonly waitMs: number | undefined

  constructor(message: string, options: ErrorOptions & { readonly waitMs?: number | undefined } = {}) {
    super(message, options)
    this.waitMs = options.waitMs
  }
}

export interface RetryOptions {
  readonly signal: AbortSignal
  /** First pause, in milliseconds; it doubles, up to half a minute. */
  readonly pauseMs: number
  /** Grows while the work gets on; then failures start counting anew. */
  readonly progress?: () => number
}

/** Runs `attempt` again while it fails with TransientError, up to five times in a row without progress. */
export async function retry<Result>(attempt: () => Promise<Result>, options: RetryOptions): Promise<Result> {
  const { signal, pauseMs, progress = () => 0 } = options
  for (let failures = 1, seen = progress(); ; failures++) {
    try {
      return await attempt()
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof TransientError)) throw error
      if (progress() > seen) failures = 1
      seen = progress()
      if (failures >= attemptsWithoutProgress) throw error
      const pause = error.waitMs ?? pauseMs * 2 ** (failures - 1) * (0.5 + Math.random())
      await sleep(Math.min(pause, longestPauseMs), undefined, { signal })
    }
  }
}
