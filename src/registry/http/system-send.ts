import type { FileHandle } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'

/** Bounds how long the event loop stands still where the disk has to be read. */
const maxBytes = 1 << 20

type SendFile = (socket: number, file: number, offset: [number], count: number) => number

let loaded: SendFile | undefined | null = null

/** sendfile(2) of Linux; undefined elsewhere. */
function systemSendFile(): SendFile | undefined {
  if (loaded !== null) return loaded
  loaded = undefined
  if (process.platform !== 'linux' || process.env['MQ_SENDFILE'] === '0') return undefined
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
    const libc = koffi.load('libc.so.6')
    loaded = libc.func('int64_t sendfile(int out, int in, _Inout_ int64_t *offset, size_t count)') as SendFile
  } catch {
    // Another C library, such as musl: files go the usual way.
  }
  return loaded
}

const direct = new WeakMap<Socket, number>()

/** Bytes that went to a connection beside what Node counts. */
export function bytesSentDirectly(socket: Socket): number {
  return direct.get(socket) ?? 0
}

/** Whether {@link sendDirectly} is worth a try: not through TLS, not on other systems. */
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
