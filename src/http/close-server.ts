import type { Server } from 'node:http'

/** Time that running requests have to end, in milliseconds. */
const graceMs = 1000

/** Closes an HTTP server: it accepts no connection any more, idle ones are closed at once, and all others after a second. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve())
  })
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), graceMs)
  await closed
  clearTimeout(timer)
}
