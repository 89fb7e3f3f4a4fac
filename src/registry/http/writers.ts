import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { MiddlewareHandler } from 'hono'
import { isOwnHost } from '../../http/index.js'
import { findIdentity, type TokenInfo } from '../access/index.js'
import type { Store } from '../store/index.js'
import type { AppEnv, HttpContext } from './answers.js'

/**
 * Refuses requests whose Host is not a name of the loopback address, against DNS rebinding by web pages. Only where the server listens on
 * the loopback address; elsewhere its names are not known.
 */
export function checkHost(listensOn: string): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    if (!isOwnHost(listensOn, context.env.incoming.headers.host)) {
      return context.json({ error: 'This registry is for this machine alone, and the Host of the request is another.' }, 403)
    }
    await next()
    return undefined
  }
}

/** Returns the URL of this server as the client sees it. */
export function baseUrl(context: HttpContext): string {
  const { incoming } = context.env
  const isTls = 'encrypted' in incoming.socket && incoming.socket.encrypted === true
  return `${isTls ? 'https' : 'http'}://${incoming.headers.host ?? 'localhost'}`
}

/** Finds the token of a request: as Bearer, or as the password of Basic, as docker, skopeo and oras send it. */
export async function identityOf(context: HttpContext, store: Store): Promise<TokenInfo | undefined> {
  const [, scheme = '', value = ''] = /^(Bearer|Basic)\s+(\S+)$/i.exec(context.req.header('authorization') ?? '') ?? []
  const password =
    scheme.toLowerCase() === 'basic'
      ? Buffer.from(value, 'base64')
          .toString('utf8')
          .replace(/^[^:]*:/, '')
      : value
  return password === '' || password.length > 4096 ? undefined : findIdentity(store, password)
}

/** Checks write permission. @returns the token, or the status of the refusal: 401 without a known token, 403 where it does not cover the namespace. */
export async function writerOf(context: HttpContext, store: Store, namespace: string): Promise<TokenInfo | 401 | 403> {
  const identity = await identityOf(context, store)
  if (identity === undefined) return 401
  const { scopes, namespaces } = identity
  const allowed = namespaces.length === 0 || namespaces.includes(namespace.toLowerCase())
  return scopes.includes('write') && allowed ? identity : 403
}

/** Appends a line of JSON to audit.log for each request that may have written. Tokens are identified by id. */
export function auditWrites(store: Store): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    await next()
    const { method } = context.req
    if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS') return
    const identity = await identityOf(context, store).catch(() => undefined)
    const path = context.req.path.slice(0, 500)
    const line = { time: new Date().toISOString(), token: identity?.id ?? null, method, path, status: context.res.status }
    await appendFile(join(store.directory, 'audit.log'), `${JSON.stringify(line)}\n`, { mode: 0o600 }).catch(() => undefined)
  }
}
