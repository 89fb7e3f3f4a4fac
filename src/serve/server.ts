import type { Server } from 'node:http'
import { closeServer, listen } from '../http/index.js'
import { ModelPool } from './pool.js'
import { availableMemory, type Load, registryModels, singleModel } from './sources.js'

/** How long a request may take to arrive, body included. */
const arrivesWithinMs = 60_000

/** What is served, where, and to whom. */
export interface EndpointOptions {
  /** One model, or all of a registry's folder. */
  readonly serves: { readonly name: string; readonly path: string } | { readonly registry: string }
  readonly load: Load
  /** Where to listen; this machine alone unless told otherwise. */
  readonly host?: string | undefined
  /** 0 for any free port. */
  readonly port?: number | undefined
  /** Keys of which requests need one; none by default. */
  readonly keys?: readonly string[] | undefined
  /** Completions of one model that run together. */
  readonly slots: number
  /** Completions of one model that wait. */
  readonly queue: number
  /** Tokens of each completion's context, for the memory of a model. */
  readonly contextLength: number
  /** Bytes that models of a registry may take; 80 % of the memory unless told otherwise. */
  readonly memoryBytes?: number | undefined
  readonly log?: ((line: string) => void) | undefined
}

/** An endpoint that answers. */
export interface RunningEndpoint {
  /** Address for clients, without a slash at the end; their base URL has /v1 after it. */
  readonly url: string
  readonly port: number
  /** Stops taking requests, gives running ones a moment, ends the models. */
  close(): Promise<void>
}

/** Port where the server listens unless told otherwise, as llama-server. */
export const defaultEndpointPort = 8080

/**
 * Serves OpenAI's API over llama.cpp. A single model is loaded at once; those of a registry when they are first asked for.
 * @throws MqError PORT_TAKEN; of a single model, those of loading it.
 */
export async function startEndpoint(options: EndpointOptions): Promise<RunningEndpoint> {
  const { serves, load, host = '127.0.0.1', port = defaultEndpointPort, keys = [], slots, queue, contextLength, log } = options
  const { memoryBytes = Math.floor(0.8 * availableMemory()) } = options
  const source =
    'path' in serves ? singleModel(serves.name, serves.path, load) : registryModels(serves.registry, load, slots * contextLength)
  const maxUsers = slots + queue
  const pool = new ModelPool(source, { memoryBytes, maxUsers, log })
  try {
    if ('path' in serves) (await pool.acquire(undefined)).release()
    const [{ createAdaptorServer }, { createApp }] = await Promise.all([import('@hono/node-server'), import('./app.js')])
    const app = createApp(pool, { host, keys, log, maxBodyBytes: 16 << 20, maxRequests: maxUsers })
    const server = createAdaptorServer({
      fetch: app.fetch,
      overrideGlobalObjects: false,
      // An answer may take hours.
      serverOptions: {
        maxHeaderSize: 16 << 10,
        headersTimeout: 15_000,
        requestTimeout: arrivesWithinMs,
        connectionsCheckingInterval: 5000,
        keepAliveTimeout: 30_000,
      },
    }) as Server
    server.maxConnections = 4 * maxUsers + 256
    const bound = await listen(server, { host, port })
    const close = async (): Promise<void> => {
      try {
        await closeServer(server)
      } finally {
        await pool.close()
      }
    }
    return { ...bound, close }
  } catch (error) {
    await pool.close()
    throw error
  }
}
