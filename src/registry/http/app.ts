import type { HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import { MqError } from '../../errors/index.js'
import { openStore } from '../store/index.js'
import { createCatalog } from './catalog.js'
import { hubApi } from './hub-api.js'
import { ociPull } from './oci.js'
import { logRequests } from './request-log.js'
import { resolveFiles } from './resolve.js'

/** The registry's HTTP faces over one folder. @param log takes one line for each finished request. */
export function createApp(registry: string, log: ((line: string) => void) | undefined): Hono<{ Bindings: HttpBindings }> {
  const catalog = createCatalog(openStore(registry))
  // Not strict: OCI clients ask for `/v2/`, with the slash.
  const app = new Hono<{ Bindings: HttpBindings }>({ strict: false })
  if (log !== undefined) app.use(logRequests(log))
  app.route('/api/models', hubApi(catalog))
  app.route('/v2', ociPull(catalog))
  app.route('/', resolveFiles(catalog))
  app.notFound((context) => context.json({ error: 'Not found' }, 404))
  app.onError((thrown, context) => {
    const error = MqError.from(thrown)
    log?.(`${error.code}: ${error.message}`)
    // Paths of this machine stay on this machine.
    return context.json({ error: `The registry cannot answer: ${error.code}` }, 500, { 'X-Error-Code': error.code })
  })
  return app
}
