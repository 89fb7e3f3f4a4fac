import { MqError } from '../errors.js'
import { type RetryOptions, retry, TransientError } from './retry.js'

const answerWithinMs = 60_000

/** Requests to one hub. */
export interface HubClient {
  /** Without a slash at the end. */
  readonly endpoint: string
  readonly signal: AbortSignal
  /** The same client, ended by another signal. */
  withSignal(signal: AbortSignal): HubClient
  /**
   * One request, with the token if it goes to the endpoint itself. Throws TransientError for lost connections, 408, 429 and 5xx; other
   * statuses are the caller's.
   */
  request(url: string | URL, init?: RequestInit): Promise<Response>
  /** Tries again as {@link retry} does; what remains of a TransientError is NETWORK. */
  retry<Result>(attempt: () => Promise<Result>, progress?: RetryOptions['progress']): Promise<Result>
}

export interface ClientOptions {
  readonly endpoint: string
  readonly token: string | undefined
  readonly signal: AbortSignal
  /** First pause before trying again, in milliseconds. */
  readonly pauseMs: number
}

export function createClient(options: ClientOptions): HubClient {
  const { endpoint, token, signal, pauseMs } = options
  const { origin } = new URL(endpoint)
  return {
    endpoint,
    signal,
    withSignal: (other) => createClient({ ...options, signal: other }),
    async request(url, init = {}) {
      const headers = new Headers(init.headers)
      headers.set('User-Agent', 'mq')
      // A page of a listing or a download may lie elsewhere; the token stays here. Redirects elsewhere lose it in fetch itself.
      if (token !== undefined && new URL(url).origin === origin) headers.set('Authorization', `Bearer ${token}`)
      const answered = new AbortController()
      const timer = setTimeout(() => answered.abort(), answerWithinMs)
      const signals = [signal, answered.signal, ...(init.signal ? [init.signal] : [])]
      try {
        return check(await fetch(url, { ...init, headers, signal: AbortSignal.any(signals) }))
      } catch (error) {
        throw error instanceof TransientError ? error : lostConnection(error, signal)
      } finally {
        clearTimeout(timer)
      }
    },
    async retry(attempt, progress) {
      try {
        return await retry(attempt, { signal, pauseMs, ...(progress !== undefined && { progress }) })
      } catch (error) {
        if (!(error instanceof TransientError)) throw error
        throw MqError.of('NETWORK', { url: endpoint, problem: error.message }, { cause: error })
      }
    },
  }
}

/** What a failed fetch or a body cut short is: INTERRUPTED's AbortError if the user ended it, else worth another try. */
export function lostConnection(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  const { cause, name } = error as Error
  if (name === 'AbortError') return new TransientError('no answer in time', { cause: error })
  const reason = cause instanceof Error ? (cause as NodeJS.ErrnoException) : undefined
  const problem = reason === undefined ? (error as Error).message : reason.message || (reason.code ?? 'no connection')
  return new TransientError(problem, { cause: error })
}

function check(response: Response): Response {
  const { status } = response
  if (status < 500 && status !== 429 && status !== 408) return response
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  void response.body?.cancel()
  throw new TransientError(`HTTP ${status}`, { waitMs: Number.isFinite(seconds) ? seconds * 1000 : undefined })
}
