import type { HttpBindings } from '@hono/node-server'
import type { MiddlewareHandler } from 'hono'

const longestTarget = 300

/** Gives `log` one line for each request when its last byte is sent: method, target, status, bytes, milliseconds. */
export function logRequests(log: (line: string) => void): MiddlewareHandler<{ Bindings: HttpBindings }> {
  return async ({ env: { incoming, outgoing }, req }, next) => {
    const startedAt = performance.now()
    const { socket } = incoming
    const sentBefore = socket.bytesWritten
    outgoing.once('close', () => {
      const status = outgoing.writableFinished ? outgoing.statusCode : `${outgoing.statusCode} cut off`
      const sent = socket.bytesWritten - sentBefore
      const ms = Math.round(performance.now() - startedAt)
      const range = incoming.headers.range === undefined ? '' : ` [${printable(incoming.headers.range)}]`
      log(`${req.method} ${printable(incoming.url ?? '')}${range} ${status} ${sent} B ${ms} ms`)
    })
    await next()
  }
}

/** A client chooses these characters; a terminal must not obey them. */
function printable(text: string): string {
  return text.slice(0, longestTarget).replaceAll(/[^\x20-\x7E]/g, '?')
}
