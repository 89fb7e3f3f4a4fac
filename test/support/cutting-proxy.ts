import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What to do with one request: pass it on, or spoil it. */
export type Spoil =
  /** The connection is cut after so many bytes of the body. */
  | { readonly cutAfter: number }
  /** The byte at this place of the body is another. */
  | { readonly flipAt: number }
  /** The Range header is dropped, as by a server without ranges. */
  | { readonly withoutRange: true }
  | { readonly status: number; readonly headers?: Record<string, string> }
  | undefined

export interface CuttingProxy extends AsyncDisposable {
  readonly url: string
  /** Method, path and Range of each request, in order. */
  readonly requests: readonly { readonly path: string; readonly range: string | undefined; readonly token: string | undefined }[]
}

/** A server that passes requests on to `target`, but for those that `spoil` says to spoil. */
export async function cuttingProxy(target: string, spoil: (path: string, count: number) => Spoil): Promise<CuttingProxy> {
  const requests: { path: string; range: string | undefined; token: string | undefined }[] = []
  const counts = new Map<string, number>()
  const server = createServer((incoming, outgoing) => {
    const path = incoming.url ?? ''
    const count = counts.get(path) ?? 0
    counts.set(path, count + 1)
    requests.push({ path, range: incoming.headers.range, token: incoming.headers.authorization })
    pass(target, incoming, outgoing, spoil(path, count))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}

function pass(target: string, incoming: IncomingMessage, outgoing: ServerResponse, spoil: Spoil): void {
  if (spoil !== undefined && 'status' in spoil) {
    outgoing.writeHead(spoil.status, spoil.headers).end()
    return
  }
  const headers = { ...incoming.headers }
  if (spoil !== undefined && 'withoutRange' in spoil) delete headers.range
  const onward = request(`${target}${incoming.url}`, { method: incoming.method, headers }, (response) => {
    outgoing.writeHead(response.statusCode ?? 500, response.headers)
    let sent = 0
    response.on('data', (chunk: Buffer) => {
      if (spoil !== undefined && 'cutAfter' in spoil && sent + chunk.byteLength > spoil.cutAfter) {
        response.destroy()
        outgoing.write(chunk.subarray(0, spoil.cutAfter - sent), () => outgoing.destroy())
        return
      }
      if (spoil !== undefined && 'flipAt' in spoil && spoil.flipAt >= sent && spoil.flipAt < sent + chunk.byteLength) {
        chunk[spoil.flipAt - sent] = (chunk[spoil.flipAt - sent] as number) ^ 1
      }
      sent += chunk.byteLength
      outgoing.write(chunk)
    })
    response.on('end', () => outgoing.end())
  })
  incoming.pipe(onward)
}
