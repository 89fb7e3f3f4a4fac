import type { Server } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import type { Hono } from 'hono'
import { MqError } from '../errors/index.js'
import { closeServer, isOwnHost, listen } from '../http/index.js'
import { type FarmStatus, type FarmStatusReader, farmMetrics, openFarmStatus } from './status.js'
import { farmPage, type StatusView, statusScript, statusScriptPath } from './status-page.js'

/** Farm and address of a status page. */
export interface FarmPageOptions {
  /** Address of the broker: `redis://HOST`. */
  readonly queue: string
  /** Address to listen on, by default 127.0.0.1. */
  readonly host?: string | undefined
  /** 0 for any free port; by default 8485. */
  readonly port?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** A running status page. */
export interface RunningFarmPage {
  /** Address for browsers, without a slash at the end. */
  readonly url: string
  readonly port: number
  /** Stops accepting requests, and frees the port. */
  close(): Promise<void>
}

/** Default port of the page. */
export const defaultFarmPort = 8485

/** Time for which a status is cached, in milliseconds: many open pages cause no load on the broker. */
const keptMs = 1000

const headers = {
  'Content-Security-Policy':
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
}

/**
 * Serves the status of a farm: a page at `/` that updates itself, `/status.json`, and `/metrics` for Prometheus. While the broker is away
 * the page shows the last status and says so; the other two answer with status 503.
 * @throws MqError QUEUE_INVALID, BROKER_UNREACHABLE, PORT_TAKEN.
 */
export async function startFarmPage(options: FarmPageOptions): Promise<RunningFarmPage> {
  const { queue, host = '127.0.0.1', port = defaultFarmPort, signal } = options
  const reader = await openFarmStatus(queue, signal)
  try {
    const { createAdaptorServer } = await import('@hono/node-server')
    const app = await createApp(reader, host)
    const server = createAdaptorServer({
      fetch: app.fetch,
      overrideGlobalObjects: false,
      serverOptions: { maxHeaderSize: 16 << 10, headersTimeout: 15_000, requestTimeout: 15_000, keepAliveTimeout: 30_000 },
    }) as Server
    const bound = await listen(server, { host, port })
    return {
      ...bound,
      async close() {
        await closeServer(server)
        await reader[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await reader[Symbol.asyncDispose]()
    throw error
  }
}

async function createApp(reader: FarmStatusReader, host: string): Promise<Hono<{ Bindings: HttpBindings }>> {
  const { Hono } = await import('hono')
  const app = new Hono<{ Bindings: HttpBindings }>()
  const look = remembering(reader)
  app.use(async (context, next) => {
    if (!isOwnHost(host, context.env.incoming.headers.host)) {
      return context.text('This page is for this machine alone, and the Host of the request is another.\n', 403, headers)
    }
    await next()
    return undefined
  })
  app.get('/', async (context) => context.html(farmPage(await look()), 200, headers))
  app.get(statusScriptPath, (context) =>
    context.body(statusScript, 200, { ...headers, 'Content-Type': 'text/javascript; charset=utf-8' }),
  )
  app.get('/status.json', async (context) => {
    const { status, problem } = await look()
    return status === undefined || problem !== undefined
      ? context.json({ error: problem }, 503, headers)
      : context.json(status, 200, headers)
  })
  app.get('/metrics', async (context) => {
    const { status, problem } = await look()
    return status === undefined || problem !== undefined
      ? context.text(`${problem}\n`, 503, headers)
      : context.body(farmMetrics(status), 200, { ...headers, 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' })
  })
  app.notFound((context) => context.text('Not found\n', 404, headers))
  return app
}

/** Caches the status for a second, and keeps the last one while the broker is disconnected. */
function remembering(reader: FarmStatusReader): () => Promise<StatusView> {
  let last: { readonly status: FarmStatus; readonly readAt: Date } | undefined
  let current: Promise<StatusView> | undefined
  const read = async (): Promise<StatusView> => {
    try {
      last = { status: await reader.read(), readAt: new Date() }
      return { ...last, problem: undefined }
    } catch (error) {
      return { status: last?.status, readAt: last?.readAt, problem: MqError.from(error).message }
    }
  }
  return () => {
    if (current === undefined) {
      current = read()
      const forget = (): void => {
        setTimeout(() => {
          current = undefined
        }, keptMs).unref()
      }
      void current.then(forget, forget)
    }
    return current
  }
}
