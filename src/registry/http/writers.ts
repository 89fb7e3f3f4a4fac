import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { MiddlewareHandler } from 'hono'
import { isOwnHost } from '../../http/index.js'
import { findIdentity, type TokenInfo } from '../access/index.js'
import type { Store } from '../store/index.js'
import type { AppEnv, HttpContext } from './answers.js'

/**
 * Refuses requests whose Host is not one of this machine's own names: a web page elsewhere may have its name lead to 127.0.0.1 (DNS
 * rebinding). Only where the server listens on this machine alone; elsewhere its names are not known.
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

/** Address of this server as the client knows it. */
export function baseUrl(context: HttpContext): string {
  const { incoming } = context.env
  const isTls = 'encrypted' in incoming.socket && incoming.socket.encrypted === true
  return `${isTls ? 'https' : 'http'}://${incoming.headers.host ?? 'localhost'}`
}

/** Whose token a request brings: as Bearer, or as the password of Basic, as docker, skopeo and oras send it. */
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

/** Who may write to a namespace; else the status that says why not: 401 without a token that is known, 403 where it is for something else. */
export async function writerOf(context: HttpContext, store: Store, namespace: string): Promise<TokenInfo | 401 | 403> {
  const identity = await identityOf(context, store)
  if (identity === undefined) return 401
  const { scopes, namespaces } = identity
  const allowed = namespaces.length === 0 || namespaces.includes(namespace.toLowerCase())
  return scopes.includes('write') && allowed ? identity : 403
}

/** Appends a line of JSON to audit.log for each request that may have written. Tokens appear by their id alone. */
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
