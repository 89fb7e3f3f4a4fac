import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { MqError } from '../errors/index.js'

/**
 * Has an HTTP server listen.
 * @param port 0 for any free port.
 * @returns its address for clients, without a slash at the end, and its port.
 * @throws MqError PORT_TAKEN.
 */
export async function listen(
  server: Server,
  { host, port, scheme = 'http' }: { readonly host: string; readonly port: number; readonly scheme?: 'http' | 'https' },
): Promise<{ readonly url: string; readonly port: number }> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(MqError.of('PORT_TAKEN', { port, host, problem: error.message }, { cause: error })))
    server.listen(port, host, resolve)
  })
  const bound = (server.address() as AddressInfo).port
  const shown = host.includes(':') ? `[${host}]` : host
  return { url: `${scheme}://${shown}:${bound}`, port: bound }
}
