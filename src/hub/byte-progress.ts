import type { Progress, WithProgress } from '../progress/index.js'
import { follow } from './abort.js'

/** What work reports while it runs. */
export interface ByteReport {
  /** `count` more bytes of `item` are done; a negative count takes some back. */
  readonly bytes: (count: number, item: string) => void
  /** Something to be said although it is no error, such as a wait. */
  readonly notice: (text: string) => void
  readonly signal: AbortSignal
}

/**
 * Shows parallel work as one stream of progress. Reports that come between two reads are merged. When the stream is left early,
 * or `outer` is aborted, the work's signal is aborted and its end awaited.
 */
export async function* byteProgress<Result>(
  stage: string,
  total: number,
  outer: AbortSignal | undefined,
  work: (report: ByteReport) => Promise<Result>,
): WithProgress<Result> {
  const left = new AbortController()
  const unfollow = outer === undefined ? () => {} : follow(left, outer)
  const { signal } = left
  let state: Progress = { stage, done: 0, total, unit: 'bytes' }
  let wake = (): void => {}
  let [changed, ended] = [false, false]
  const notices: string[] = []
  const bytes = (count: number, item: string): void => {
    state = { ...state, done: state.done + count, item }
    changed = true
    wake()
  }
  const notice = (text: string): void => {
    notices.push(text)
    changed = true
    wake()
  }
  const running = work({ bytes, notice, signal }).finally(() => {
    ended = true
    wake()
  })
  running.catch(() => undefined)
  const latest = (): { changed: boolean; ended: boolean } => ({ changed, ended })
  try {
    for (;;) {
      const now = latest()
      if (!now.changed && !now.ended) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        continue
      }
      changed = false
      for (const text of notices.splice(0)) yield { ...state, notice: text }
      if (now.changed) yield state
      if (now.ended) break
    }
    return await running
  } finally {
    unfollow()
    left.abort()
    await running.catch(() => undefined)
  }
}

/** "it waits 20 s: HTTP 429", for waits that somebody who looks at the screen would wonder about. */
export function waitNotice(notice: (text: string) => void): (waitMs: number, reason: string) => void {
  return (waitMs, reason) => {
    if (waitMs >= 2000) notice(`waiting ${Math.ceil(waitMs / 1000)} s before trying again: ${reason}`)
  }
}
