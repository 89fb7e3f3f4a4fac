import type { MiddlewareHandler } from 'hono'
import type { AppEnv } from './answers.js'
import type { Services } from './services.js'
import { identityOf } from './writers.js'

/**
 * Checks read permission: everybody may read, in a private registry only holders of a token, within its namespaces. Signed URLs need no
 * token, since clients send no credentials there. Where permission is missing, the response is that for a missing resource.
 */
export function checkReaders(services: Services): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    const { path } = context.req
    // These have signed URLs, and check them themselves.
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
  // A URL signed for GET is valid for HEAD, too.
  return (await services.signer()).isValid(method === 'HEAD' ? 'GET' : method, url)
}
