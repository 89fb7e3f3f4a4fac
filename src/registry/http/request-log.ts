import type { MiddlewareHandler } from 'hono'
import type { AppEnv } from './answers.js'
import { bytesSentDirectly } from './system-send.js'

const longestTarget = 300

/** Logs one line for each request when its last byte is sent: method, target, status, bytes, milliseconds. */
export function logRequests(log: (line: string) => void): MiddlewareHandler<AppEnv> {
  return async ({ env: { incoming, outgoing }, req }, next) => {
    const startedAt = performance.now()
    const { socket } = incoming
    const sentBefore = socket.bytesWritten + bytesSentDirectly(socket)
    outgoing.once('close', () => {
      const status = outgoing.writableFinished ? outgoing.statusCode : `${outgoing.statusCode} cut off`
      const sent = socket.bytesWritten + bytesSentDirectly(socket) - sentBefore
      const ms = Math.round(performance.now() - startedAt)
      const range = incoming.headers.range === undefined ? '' : ` [${printable(incoming.headers.range)}]`
      log(`${req.method} ${printable(withoutSignature(incoming.url ?? ''))}${range} ${status} ${sent} B ${ms} ms`)
    })
    await next()
  }
}

/** Removes the signature from a URL, since it would give access to readers of the log. */
function withoutSignature(url: string): string {
  return url.replace(/([?&]signature=)[^&]*/gi, '$1...')
}

/** Escapes control characters, which come from the client and must not reach a terminal. */
function printable(text: string): string {
  return text.slice(0, longestTarget).replaceAll(/[^\x20-\x7E]/g, '?')
}
