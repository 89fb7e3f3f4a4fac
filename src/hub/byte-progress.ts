import type { Progress, WithProgress } from '../progress/index.js'
import { follow } from './abort.js'

/** What work reports while it runs. */
export interface ByteReport {
  /** `count` more bytes of `item` are done; a negative count takes some back. */
  readonly bytes: (count: number, item: string) => void
  readonly signal: AbortSignal
}

/**
 * Shows parallel work as one stream of progress. Reports that come while nobody looks are put together. When the stream is left early,
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
  let news: 'none' | 'bytes' | 'end' = 'none'
  const latest = (): typeof news => news
  const bytes = (count: number, item: string): void => {
    state = { ...state, done: state.done + count, item }
    news = 'bytes'
    wake()
  }
  const running = work({ bytes, signal }).finally(() => {
    news = 'end'
    wake()
  })
  running.catch(() => undefined)
  try {
    for (;;) {
      if (latest() === 'none') {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      if (latest() === 'end') break
      news = 'none'
      yield state
    }
    return await running
  } finally {
    unfollow()
    left.abort()
    await running.catch(() => undefined)
  }
}
