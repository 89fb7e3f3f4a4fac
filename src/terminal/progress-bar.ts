import type { Progress } from '../progress/index.js'
import { formatBytes, formatSeconds } from './format.js'

const barWidth = 24
const redrawEveryMs = 80
/** Work that ends sooner than this shows no bar at all. */
const silentForMs = 400

/** Where a bar draws itself: stderr, or a test's recorder. */
export interface BarStream {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

/** A bar with rate and time left for a stream of Progress. It draws nothing where the stream is no terminal, but writes notices there, too. */
export class ProgressBar {
  readonly #stream: BarStream
  readonly #now: () => number
  #stage = ''
  #startedAt = 0
  #drawnAt = 0
  #visible = false

  constructor(stream: BarStream = process.stderr, now: () => number = () => performance.now()) {
    this.#stream = stream
    this.#now = now
  }

  /** Takes one event and redraws if it is time to. */
  update(progress: Progress): void {
    if (progress.notice !== undefined) {
      this.clear()
      this.#stream.write(`${progress.notice}\n`)
      return
    }
    if (this.#stream.isTTY !== true) return
    const now = this.#now()
    if (progress.stage !== this.#stage) {
      this.clear()
      this.#stage = progress.stage
      this.#startedAt = now
      this.#drawnAt = now + silentForMs - redrawEveryMs
    }
    if (now - this.#drawnAt < redrawEveryMs) return
    this.#drawnAt = now
    this.#visible = true
    this.#stream.write(`\r\u001B[2K${this.#line(progress, (now - this.#startedAt) / 1000)}`)
  }

  /** Removes the bar from the screen. */
  clear(): void {
    if (this.#visible) this.#stream.write('\r\u001B[2K')
    this.#visible = false
  }

  #line({ stage, done, total, unit, item }: Progress, seconds: number): string {
    const share = total > 0 ? Math.min(1, done / total) : 0
    const filled = Math.round(share * barWidth)
    const bar = '█'.repeat(filled) + '░'.repeat(barWidth - filled)
    const rate = seconds > 0 ? done / seconds : 0
    const amount = unit === 'bytes' ? `${formatBytes(done)}/${formatBytes(total)}` : `${done}/${total} ${unit}`
    const speed = unit === 'bytes' ? `${formatBytes(rate)}/s` : `${rate.toFixed(rate < 10 ? 1 : 0)}/s`
    const left = rate > 0 && share < 1 ? `${formatSeconds((total - done) / rate)} left` : ''
    const text = [stage, bar, `${Math.floor(share * 100)} %`, amount, speed, left, item].filter(Boolean).join('  ')
    return text.slice(0, (this.#stream.columns ?? 120) - 1)
  }
}
