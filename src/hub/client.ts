import { MqError } from '../errors/index.js'
import { follow } from './abort.js'
import { environmentFetch } from './proxy.js'
import { longestToldWaitMs, type RetryOptions, retry, TransientError } from './retry.js'
import { waitHint } from './wait-hint.js'

const answerWithinMs = 60_000

/** Requests to one hub. */
export interface HubClient {
  /** Without a slash at the end. */
  readonly endpoint: string
  readonly signal: AbortSignal
  /** The same client, ended by another signal, or telling another of its waits. */
  with(changes: { readonly signal: AbortSignal; readonly onWait?: RetryOptions['onWait'] }): HubClient
  /**
   * One request, with the token if it goes to the endpoint itself. Other statuses than the following are
   * the caller's. @throws TransientError for lost connections, 408, 429 and 5xx.
   */
  request(url: string | URL, init?: RequestInit): Promise<Response>
  /** Tries again as {@link retry} does; what remains of a TransientError is NETWORK. */
  retry<Result>(attempt: () => Promise<Result>, progress?: Pick<RetryOptions, 'progress' | 'step'>): Promise<Result>
}

/** Where requests go, and how they are tried again. */
export interface ClientOptions {
  readonly endpoint: string
  readonly token: string | undefined
  readonly signal: AbortSignal
  /** First pause before trying again, in milliseconds. */
  readonly pauseMs: number
  /** Called with how long a request waits before it is made again, and why. */
  readonly onWait?: RetryOptions['onWait']
  /** Whether the endpoint has answered before. One that never did is not asked again: its address is probably wrong. */
  readonly reached?: boolean
}

/** A client of one hub; see HubClient. */
export function createClient(options: ClientOptions): HubClient {
  const { endpoint, token, signal, pauseMs } = options
  const { origin } = new URL(endpoint)
  let reached = options.reached ?? false
  return {
    endpoint,
    signal,
    with: (changes) => createClient({ ...options, ...changes, reached }),
    async request(url, init = {}) {
      const headers = new Headers(init.headers)
      headers.set('User-Agent', 'mq')
      // A page of a listing or a download may lie elsewhere; the token stays here. Redirects elsewhere lose it in fetch itself.
      if (token !== undefined && new URL(url).origin === origin) headers.set('Authorization', `Bearer ${token}`)
      // Ends the wait for an answer. The body has to be read with readBody, which can be ended, too.
      const waiting = new AbortController()
      const timer = setTimeout(() => waiting.abort(), answerWithinMs)
      const unfollow = [signal, ...(init.signal ? [init.signal] : [])].map((parent) => follow(waiting, parent))
      try {
        const response = await (await environmentFetch())(url, { ...init, headers, signal: waiting.signal })
        reached = true
        return check(response, endpoint)
      } catch (error) {
        if (error instanceof TransientError || error instanceof MqError) throw error
        if ((error as { cause?: Error }).cause?.message === 'redirect count exceeded') {
          throw MqError.of('HUB_ANSWER_INVALID', { url: endpoint, problem: 'it redirects in a circle' }, { cause: error })
        }
        throw reached || signal.aborted || !isUnreachable(error) ? lostConnection(error, signal) : noConnection(error, endpoint)
      } finally {
        clearTimeout(timer)
        for (const end of unfollow) end()
      }
    },
    async retry(attempt, progress) {
      try {
        return await retry(attempt, { signal, pauseMs, ...progress, onWait: options.onWait })
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
  return new TransientError(problemOf(error as Error), { cause: error })
}

/** Nobody is there, or fetch does not go there at all: what it refuses by itself, as ports of other services, has no code. */
function isUnreachable(error: unknown): boolean {
  const { cause } = error as { cause?: NodeJS.ErrnoException }
  if (!(cause instanceof Error)) return false
  return cause.code === undefined || ['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH'].includes(cause.code)
}

function noConnection(error: unknown, endpoint: string): MqError {
  return MqError.of('NETWORK', { url: endpoint, problem: problemOf(error as Error) }, { cause: error })
}

function problemOf({ name, message, cause }: Error): string {
  if (name === 'AbortError') return 'no answer in time'
  if (!(cause instanceof Error)) return message
  return cause.message || ((cause as NodeJS.ErrnoException).code ?? 'no connection')
}

function check(response: Response, endpoint: string): Response {
  const { status } = response
  // A registry of mq says that it is damaged; asking again does not mend it.
  if (response.headers.get('x-error-code') === 'REGISTRY_CORRUPT') {
    void response.body?.cancel().catch(() => undefined)
    throw MqError.of('REGISTRY_CORRUPT', { path: endpoint, problem: 'what was asked for cannot be read there' })
  }
  if (status < 500 && status !== 429 && status !== 408) return response
  const waitMs = waitHint(response.headers)
  void response.body?.cancel().catch(() => undefined)
  const later =
    waitMs !== undefined && waitMs > longestToldWaitMs
      ? `, and it asks to come back in ${Math.ceil(waitMs / 60_000)} minutes`
      : ''
  throw new TransientError(`HTTP ${status}${later}`, { waitMs, limited: status === 429 })
}
