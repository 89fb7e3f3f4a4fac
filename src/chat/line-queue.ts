import type { Interface } from 'node:readline'

/** Lines of an input, one at a time. */
export interface LineQueue {
  /** undefined where the input has ended, or `signal` was aborted. */
  next(): Promise<string | undefined>
}

/** @param together puts lines that come at once, as pasted ones do, into one. */
export function lineQueue(source: Interface, together: boolean, signal?: AbortSignal): LineQueue {
  const waiting: string[] = []
  let burst: string[] = []
  let ended = false
  let wake = (): void => {}
  source.on('line', (line) => {
    burst.push(line)
    if (burst.length > 1) return
    const flush = (): void => {
      waiting.push(...(together ? [burst.join('\n')] : burst))
      burst = []
      wake()
    }
    if (together) setImmediate(flush)
    else flush()
  })
  const end = (): void => {
    ended = true
    wake()
  }
  // after the lines that came with the end
  source.once('close', () => setImmediate(end))
  signal?.addEventListener('abort', end, { once: true })
  return {
    async next() {
      for (;;) {
        if (signal?.aborted === true) return undefined
        const line = waiting.shift()
        if (line !== undefined || ended) return line
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
  }
}
