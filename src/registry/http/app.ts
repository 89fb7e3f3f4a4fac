import { Hono } from 'hono'
import { MqError } from '../../errors/index.js'
import type { AppEnv, HttpContext } from './answers.js'
import { hubApi } from './hub-api.js'
import { hubWrite } from './hub-write.js'
import { lfsFace } from './lfs.js'
import { ociFace } from './oci.js'
import { pages } from './pages.js'
import { checkReaders } from './readers.js'
import { logRequests } from './request-log.js'
import { resolveFiles } from './resolve.js'
import type { Services } from './services.js'
import { auditWrites, checkHost } from './writers.js'

/** Time limit for receiving a request that is no upload. */
const arrivesWithinMs = 60_000

/** Address of the server, and its request log. */
export interface AppOptions {
  /** Address that the server listens on. */
  readonly host: string
  /** Called with one line for each finished request. */
  readonly log?: ((line: string) => void) | undefined
}

/** Creates the registry's HTTP application: the APIs of Hugging Face, OCI and ollama, and the pages, over one folder. */
export function createApp(services: Services, { host, log }: AppOptions): Hono<AppEnv> {
  // Not strict: OCI clients ask for `/v2/`, with the slash.
  const app = new Hono<AppEnv>({ strict: false })
  if (log !== undefined) app.use(logRequests(log))
  app.use(checkHost(host))
  app.use(async (context, next) => {
    const { incoming } = context.env
    const timer = isUpload(context) ? undefined : setTimeout(() => incoming.complete || incoming.destroy(), arrivesWithinMs)
    await next()
    clearTimeout(timer)
  })
  app.use(auditWrites(services.store))
  app.use(checkReaders(services))
  app.all('/v2', (context) => ociFace(context, services))
  app.all('/v2/*', (context) => ociFace(context, services))
  app.route('/', hubWrite(services))
  app.route('/', lfsFace(services))
  app.route('/api/models', hubApi(services.catalog))
  app.route('/', resolveFiles(services))
  app.route('/', pages(services))
  app.notFound((context) => {
    const allowed = methodsOf(app, context)
    if (allowed.length === 0) return context.json({ error: 'Not found' }, 404)
    return context.json({ error: 'Method not allowed' }, 405, { Allow: allowed.join(', ') })
  })
  app.onError((thrown, context) => {
    const error = MqError.from(thrown)
    log?.(`${error.code}: ${error.message}`)
    const status = (
      { UPLOAD_REFUSED: 413, COMMIT_REFUSED: 400, REGISTRY_LIMIT: 413, REGISTRY_BUSY: 503, DISK_FULL: 507 } as const
    )[error.code as 'UPLOAD_REFUSED']
    // The connection cannot be reused after a body that was not read to its end.
    if (!context.env.incoming.complete) context.header('Connection', 'close')
    // Paths of this machine are not sent to clients.
    const text = status === 413 || status === 400 ? error.message : `The registry cannot answer: ${error.code}`
    const forOci = context.req.path.startsWith('/v2') && { errors: [{ code: error.code, message: text }] }
    return context.json({ error: text, ...forOci }, status ?? 500, { 'X-Error-Code': error.code })
  })
  return app
}

function isUpload(context: HttpContext): boolean {
  return /^\/(?:lfs|v2)\//.test(context.req.path) && context.req.method !== 'GET'
}

/** Lists the methods that a path supports, for the response to an unsupported one. */
function methodsOf(app: Hono<AppEnv>, { req }: HttpContext): string[] {
  const count = (method: string): number => app.router.match(method, req.path)[0].length
  const always = count('NONE')
  const allowed = ['GET', 'POST', 'PUT', 'DELETE'].filter((method) => count(method) > always)
  return allowed.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
}
