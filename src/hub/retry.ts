import { setTimeout as sleep } from 'node:timers/promises'

const attemptsWithoutProgress = 5
const toldWaitsWithoutProgress = 10
const longestPauseMs = 30_000
/** Who is told to come back later than this had better be told so than wait. */
export const longestToldWaitMs = 15 * 60_000

/** A failure that may not come again: a lost connection, an overloaded server. */
export class TransientError extends Error {
  override readonly name = 'TransientError'
  /** What the server asked for in Retry-After or a rate-limit header. */
  readonly waitMs: number | undefined
  /** Whether there were too many requests: what limits them counts by the minute. */
  readonly limited: boolean

  constructor(
    message: string,
    options: ErrorOptions & { readonly waitMs?: number | undefined; readonly limited?: boolean } = {},
  ) {
    super(message, options)
    this.waitMs = options.waitMs
    this.limited = options.limited ?? false
  }
}

/** How often and after which pauses a request is made again. */
export interface RetryOptions {
  readonly signal: AbortSignal
  /** First pause, in milliseconds; it doubles, up to half a minute. */
  readonly pauseMs: number
  /** Grows while the work gets on, and counts only beyond the most that was seen; then failures start counting anew. */
  readonly progress?: () => number
  /** How much progress counts as some. */
  readonly step?: number
  /** Called with the reason and the length of each wait. */
  readonly onWait?: (waitMs: number, reason: string) => void
}

/**
 * Runs `attempt` again while it fails with TransientError: up to five times in a row without progress, or ten where the server says how
 * long to wait.
 */
export async function retry<Result>(attempt: () => Promise<Result>, options: RetryOptions): Promise<Result> {
  const { signal, pauseMs, progress = () => 0, step = 1, onWait } = options
  let [failures, told, most] = [0, 0, progress()]
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof TransientError)) throw error
      if (progress() >= most + step) [failures, told, most] = [0, 0, progress()]
      if (error.waitMs === undefined) failures++
      else told++
      if (failures >= attemptsWithoutProgress || told >= toldWaitsWithoutProgress) throw error
      if (error.waitMs !== undefined && error.waitMs > longestToldWaitMs) throw error
      // What is told in whole seconds may be over a moment too early: it takes longer each time, too.
      const firstPause = error.limited && error.waitMs === undefined ? 10 * pauseMs : pauseMs
      const pause = Math.max(backOff(firstPause, failures + told), (error.waitMs ?? 0) * (1 + Math.random() / 20))
      onWait?.(pause, error.message)
      await sleep(pause, undefined, { signal })
    }
  }
}

function backOff(pauseMs: number, failures: number): number {
  return Math.min(longestPauseMs, pauseMs * 2 ** (failures - 1) * (0.5 + Math.random()))
}
