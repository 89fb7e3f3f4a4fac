import { createHash, timingSafeEqual } from 'node:crypto'
import type { HttpBindings } from '@hono/node-server'
import type { MiddlewareHandler } from 'hono'
import { isLoopback, isOwnHost } from '../http/index.js'
import { answerError, type HttpContext, Refusal } from './answers.js'

/**
 * Refuses requests that a web page of another site makes a browser send: a foreign Host while listening on loopback (DNS rebinding), or a
 * foreign Origin.
 */
export function checkOrigin(listensOn: string): MiddlewareHandler<{ Bindings: HttpBindings }> {
  const local = isLoopback(listensOn)
  return async (context, next) => {
    const { host, origin } = context.env.incoming.headers
    if (!isOwnHost(listensOn, host) || !isOwnOrigin(origin, host, local)) {
      return answerError(context, new Refusal(403, 'forbidden', 'The Host or Origin of the request is not that of this server.'))
    }
    await next()
    return undefined
  }
}

function isOwnOrigin(origin: string | undefined, host: string | undefined, local: boolean): boolean {
  if (origin === undefined) return true
  const url = URL.canParse(origin) ? new URL(origin) : undefined
  return url !== undefined && (url.host === host || (local && isLoopback(url.hostname)))
}

/** Refuses requests without one of the API keys as a Bearer token; without keys every request is accepted. */
export function checkKey(keys: readonly string[]): MiddlewareHandler<{ Bindings: HttpBindings }> {
  const known = keys.map(digestOf)
  return async (context, next) => {
    const [, given = ''] = /^Bearer\s+(\S+)\s*$/i.exec(context.req.header('authorization') ?? '') ?? []
    const digest = digestOf(given)
    if (known.length > 0 && !known.map((one) => timingSafeEqual(one, digest)).includes(true)) {
      return answerError(context, new Refusal(401, 'invalid_api_key', 'The API key is missing or not valid.'))
    }
    await next()
    return undefined
  }
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

/** Reads a JSON body of at most `maxBytes`. @throws Refusal 400 if it is not JSON, 413 if it is larger, 415 for another Content-Type. */
export async function readJson(context: HttpContext, maxBytes: number): Promise<unknown> {
  const type = context.req.header('content-type') ?? ''
  if (!/^application\/(?:[\w.-]+\+)?json\b/i.test(type)) {
    throw new Refusal(415, 'unsupported_media_type', 'The Content-Type has to be application/json.')
  }
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of context.env.incoming as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength
    if (size > maxBytes) throw new Refusal(413, 'request_too_large', `The request is larger than ${maxBytes} bytes.`)
    chunks.push(chunk)
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)))
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    throw new Refusal(400, 'invalid_json', `The body is not valid JSON: ${problem.slice(0, 200)}.`)
  }
}
