import type { FileHandle } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'

/** Maximum bytes of a call: bounds how long the event loop is blocked where the disk has to be read. */
const maxBytes = 1 << 20

type SendFile = (socket: number, file: number, offset: [number], count: number) => number

let loaded: SendFile | undefined | null = null

/** Loads sendfile(2) of Linux. @returns undefined on other systems. */
function systemSendFile(): SendFile | undefined {
  if (loaded !== null) return loaded
  loaded = undefined
  if (process.platform !== 'linux' || process.env['MQ_SENDFILE'] === '0') return undefined
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
    const libc = koffi.load('libc.so.6')
    loaded = libc.func('int64_t sendfile(int out, int in, _Inout_ int64_t *offset, size_t count)') as SendFile
  } catch {
    // Another C library, such as musl: files are sent by Node.
  }
  return loaded
}

const direct = new WeakMap<Socket, number>()

/** Returns the bytes sent over a connection that Node does not count. */
export function bytesSentDirectly(socket: Socket): number {
  return direct.get(socket) ?? 0
}

/** Returns whether {@link sendDirectly} may work: only on Linux and without TLS. */
export function canSendDirectly({ socket }: ServerResponse): boolean {
  return systemSendFile() !== undefined && socket !== null && !('encrypted' in socket)
}

/**
 * Sends bytes of a file from the system's cache into a connection, without a copy in this process, as long as its buffer takes them.
 * Call it when all that was written to the response before has left it. It runs on this thread, so that no other connection can have got
 * the socket's number meanwhile.
 * @returns how many bytes were sent: 0 where the buffer is full, and where this connection or this system cannot do so.
 */
export function sendDirectly(outgoing: ServerResponse, handle: FileHandle, at: number, count: number): number {
  const { socket } = outgoing
  const send = systemSendFile()
  if (send === undefined || socket === null || socket.destroyed || socket.writableLength > 0 || !canSendDirectly(outgoing))
    return 0
  const { _handle: connection } = socket as Socket & { _handle?: { fd?: number } | null }
  const { fd } = connection ?? {}
  if (fd === undefined || fd < 0) return 0
  const sent = send(fd, handle.fd, [at], Math.min(count, maxBytes))
  if (sent <= 0) return 0
  direct.set(socket, bytesSentDirectly(socket) + sent)
  return sent
}
