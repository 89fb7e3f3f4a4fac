import type { Server } from 'node:http'
import { closeServer, listen } from '../../http/index.js'
import { listRepositories, openStore } from '../store/index.js'

/** Idle time after which a connection is closed, such as that of a stalled reader. */
const idleMs = 120_000

/** Folder, address and permissions of a registry server. */
export interface RegistryOptions {
  /** The registry's folder. */
  readonly registry: string
  /** Address to listen on; by default the loopback address. */
  readonly host?: string
  /** 0 for any free port. */
  readonly port?: number
  /** Called with one line for each finished request. */
  readonly log?: ((line: string) => void) | undefined
  /** Maximum size of an uploaded file in bytes; by default 1 TiB. */
  readonly maxUploadBytes?: number | undefined
  /** Maximum size of all files together in bytes: uploads beyond it are refused. By default there is none. */
  readonly quotaBytes?: number | undefined
  /** Whether reading needs a token as well. */
  readonly isPrivate?: boolean | undefined
  /** Size in bytes of the parts in which Hugging Face clients upload large files; by default 256 MiB. */
  readonly partBytes?: number | undefined
  /** Prefix for `X-Accel-Redirect: PREFIX/sha256/HEX`, by which nginx as a reverse proxy sends files itself. */
  readonly accelPrefix?: string | undefined
  /** Idle time after which an upload is removed, in milliseconds; by default one hour. */
  readonly uploadIdleMs?: number | undefined
  /** Certificate and private key in PEM, to serve over TLS. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer } | undefined
}

/** A running registry server. */
export interface RunningRegistry {
  /** Address for clients, without a slash at the end. */
  readonly url: string
  readonly port: number
  /** Stops accepting requests, waits briefly for running ones, and frees the port. */
  close(): Promise<void>
}

/** Default address to listen on: the loopback address. */
export const defaultHost = '127.0.0.1'
/** Default port to listen on. */
export const defaultPort = 8484

/** Serves a registry's folder over HTTP. @throws MqError PORT_TAKEN where it cannot listen; FILE_UNREADABLE where the folder cannot be read. */
export async function startRegistry(options: RegistryOptions): Promise<RunningRegistry> {
  const { registry, host = defaultHost, port = defaultPort, log, tls } = options
  // Checked at the start, so that the error goes to the administrator and not to each client.
  await listRepositories(openStore(registry))
  // Imported only here: no other command needs them.
  const [{ createAdaptorServer }, { createApp }, { createServices }, { createServer }] = await Promise.all([
    import('@hono/node-server'),
    import('./app.js'),
    import('./services.js'),
    import('node:https'),
  ])
  const services = createServices(registry, {
    maxBytes: options.maxUploadBytes ?? 2 ** 40,
    quotaBytes: options.quotaBytes,
    idleForMs: options.uploadIdleMs,
    isPrivate: options.isPrivate,
    partBytes: options.partBytes,
    accelPrefix: options.accelPrefix,
  })
  const server = createAdaptorServer({
    fetch: createApp(services, { host, log }).fetch,
    overrideGlobalObjects: false,
    ...(tls !== undefined && { createServer }),
    // An upload may take hours; bodies of other requests are timed by the app, and idle connections by the server.
    serverOptions: { maxHeaderSize: 16 << 10, headersTimeout: 15_000, requestTimeout: 0, keepAliveTimeout: 30_000, ...tls },
  }) as Server
  server.setTimeout(idleMs)
  // HTTP/1.0 has no Host header, and the adaptor requires one.
  server.prependListener('request', ({ httpVersion, headers }) => {
    if (httpVersion === '1.0') headers.host ??= 'localhost'
  })
  const bound = await listen(server, { host, port, scheme: tls === undefined ? 'http' : 'https' })
  return {
    ...bound,
    close: () => closeServer(server).then(() => services.close()),
  }
}
