import type { Server } from 'node:http'
import { closeServer, listen } from '../../http/index.js'
import { listRepositories, openStore } from '../store/index.js'

/** A connection on which nothing moves for so long, such as that of a reader who has stalled, is closed. */
const idleMs = 120_000

/** What is served, where, and to whom. */
export interface RegistryOptions {
  /** The registry's folder. */
  readonly registry: string
  /** Where to listen; this machine alone unless told otherwise. */
  readonly host?: string
  /** 0 for any free port. */
  readonly port?: number
  /** Takes one line for each finished request. */
  readonly log?: ((line: string) => void) | undefined
  /** The most bytes that one uploaded file may have; 1 TiB unless told otherwise. */
  readonly maxUploadBytes?: number | undefined
  /** The most bytes that all files together may have; uploads beyond are refused. None unless told otherwise. */
  readonly quotaBytes?: number | undefined
  /** Whether reading needs a token, too. */
  readonly isPrivate?: boolean | undefined
  /** Size of the parts in which Hugging Face clients upload large files: 256 MiB unless told otherwise. */
  readonly partBytes?: number | undefined
  /** Files are not sent but named by `X-Accel-Redirect: PREFIX/sha256/HEX`, for nginx in front of it. */
  readonly accelPrefix?: string | undefined
  /** Uploads that nobody writes to for so long are removed: an hour unless told otherwise. */
  readonly uploadIdleMs?: number | undefined
  /** Certificate and private key, PEM: then it speaks TLS. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer } | undefined
}

/** A registry that answers. */
export interface RunningRegistry {
  /** Address for clients, without a slash at the end. */
  readonly url: string
  readonly port: number
  /** Stops taking requests, gives running ones a moment, and frees the port. */
  close(): Promise<void>
}

/** Address where the server listens unless told otherwise: this machine alone. */
export const defaultHost = '127.0.0.1'
/** Port where the server listens unless told otherwise. */
export const defaultPort = 8484

/** Serves a registry's folder over HTTP. @throws MqError PORT_TAKEN where it cannot listen; FILE_UNREADABLE where the folder cannot be read. */
export async function startRegistry(options: RegistryOptions): Promise<RunningRegistry> {
  const { registry, host = defaultHost, port = defaultPort, log, tls } = options
  // Said now, rather than to every client.
  await listRepositories(openStore(registry))
  // Loaded here, since no other command has use for them.
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
  // HTTP/1.0 knows no Host, and the adaptor insists on one.
  server.prependListener('request', ({ httpVersion, headers }) => {
    if (httpVersion === '1.0') headers.host ??= 'localhost'
  })
  const bound = await listen(server, { host, port, scheme: tls === undefined ? 'http' : 'https' })
  return {
    ...bound,
    close: () => closeServer(server).then(() => services.close()),
  }
}
