import type { Server } from 'node:http'
import { closeServer, listen } from '../http/index.js'
import { ModelPool } from './pool.js'
import { availableMemory, type Load, registryModels, singleModel } from './sources.js'

/** Time for a request to arrive, including its body, in milliseconds. */
const arrivesWithinMs = 60_000

/** Models, address and limits of an endpoint. */
export interface EndpointOptions {
  /** One model, or all models of a registry's folder. */
  readonly serves: { readonly name: string; readonly path: string } | { readonly registry: string }
  readonly load: Load
  /** Address to listen on, by default 127.0.0.1. */
  readonly host?: string | undefined
  /** 0 for any free port. */
  readonly port?: number | undefined
  /** API keys, of which a request needs one; by default none. */
  readonly keys?: readonly string[] | undefined
  /** Maximum completions of a model that run in parallel. */
  readonly slots: number
  /** Maximum completions of a model that wait. */
  readonly queue: number
  /** Context length of each completion, in tokens, for the memory estimate. */
  readonly contextLength: number
  /** Memory limit of the models of a registry, in bytes, by default 80 % of the available memory. */
  readonly memoryBytes?: number | undefined
  readonly log?: ((line: string) => void) | undefined
}

/** A running endpoint. */
export interface RunningEndpoint {
  /** Address for clients, without a slash at the end; their base URL has /v1 after it. */
  readonly url: string
  readonly port: number
  /** Stops accepting requests, waits a second for running ones, and unloads the models. */
  close(): Promise<void>
}

/** Default port, the same as of llama-server. */
export const defaultEndpointPort = 8080

/**
 * Serves OpenAI's API over llama.cpp. A single model is loaded at the start, models of a registry with their first request.
 * @throws MqError PORT_TAKEN; for a single model, errors of loading it.
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
      // Generation may take hours.
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
