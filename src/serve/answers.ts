import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import { MqError } from '../errors/index.js'

/** Context of a handler, with the request of Node's HTTP server. */
export type HttpContext = Context<{ Bindings: HttpBindings }>

type Status = 400 | 401 | 403 | 404 | 405 | 408 | 413 | 415 | 429 | 500 | 503

/** A request that is answered with an error, in the form of OpenAI's API. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly status: Status
  readonly code: string
  readonly param: string | null
  /** Retry-After, in seconds. */
  readonly retryAfter: number | undefined

  constructor(status: Status, code: string, message: string, options: { param?: string; retryAfter?: number } = {}) {
    super(message)
    this.status = status
    this.code = code
    this.param = options.param ?? null
    this.retryAfter = options.retryAfter
  }
}

/** Status and code for errors of the table that the request causes, or that are transient. */
const statuses: Readonly<Record<string, Status>> = {
  PROMPT_TOO_LONG: 400,
  OPTION_INVALID: 400,
  CHAT_TEMPLATE_INVALID: 400,
  MODEL_REJECTED: 400,
  MODEL_UNSUITED: 400,
  ARCHITECTURE_TOO_NEW: 400,
  NAME_INVALID: 404,
  MODEL_NOT_FOUND: 404,
  INTERRUPTED: 503,
}

/** Converts an error to an answer. Paths of this machine are not disclosed. */
export function refusalOf(thrown: unknown, paths: readonly string[] = []): Refusal {
  if (thrown instanceof Refusal) return thrown
  const error = MqError.from(thrown)
  const status = statuses[error.code] ?? 500
  const code = error.code === 'PROMPT_TOO_LONG' ? 'context_length_exceeded' : error.code.toLowerCase()
  const message = paths.reduce((text, path) => text.replaceAll(path, 'the model'), error.message)
  return new Refusal(status, code, status === 500 ? `The model could not answer: ${error.code}.` : message)
}

/** Body of an error, in the form of OpenAI's API. */
export function errorBody({ status, code, param, message }: Refusal): object {
  const type =
    status === 401
      ? 'authentication_error'
      : status >= 500
        ? 'server_error'
        : status === 429
          ? 'rate_limit_error'
          : 'invalid_request_error'
  return { error: { message, type, param, code } }
}

export function answerError(context: HttpContext, refusal: Refusal): Response {
  // Of a body that was not read to its end nothing more can be understood.
  if (!context.env.incoming.complete) context.header('Connection', 'close')
  if (refusal.retryAfter !== undefined) context.header('Retry-After', String(refusal.retryAfter))
  if (refusal.status === 401) context.header('WWW-Authenticate', 'Bearer')
  return context.json(errorBody(refusal), refusal.status)
}
