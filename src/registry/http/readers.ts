import type { MiddlewareHandler } from 'hono'
import type { AppEnv } from './answers.js'
import type { Services } from './services.js'
import { identityOf } from './writers.js'

/**
 * Lets everybody read, or in a private registry those alone who have a token: each the namespaces of theirs. Addresses that were signed
 * need none, since clients send no credentials there. What may not be read is answered like what is not there.
 */
export function checkReaders(services: Services): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    const { path } = context.req
    // These have addresses that are signed, and check that themselves.
    if (!services.isPrivate || path.startsWith('/lfs/') || (await isSigned(services, context.env.incoming))) {
      context.set('mayRead', () => true)
      return next()
    }
    const identity = await identityOf(context, services.store)
    if (identity === undefined) {
      const message = 'This registry is private: reading needs a token, made with `mq registry token create`.'
      const forOci = path.startsWith('/v2') && { errors: [{ code: 'UNAUTHORIZED', message }] }
      return context.json({ error: message, ...forOci }, 401, {
        'WWW-Authenticate': 'Basic realm="mq", charset="UTF-8"',
        'X-Error-Message': message,
      })
    }
    const { namespaces } = identity
    context.set('mayRead', (namespace) => namespaces.length === 0 || namespaces.includes(namespace.toLowerCase()))
    return next()
  }
}

async function isSigned(services: Services, { method = '', url = '' }: { method?: string; url?: string }): Promise<boolean> {
  if (!url.includes('signature=')) return false
  // An address to read is good for HEAD, too.
  return (await services.signer()).isValid(method === 'HEAD' ? 'GET' : method, url)
}
