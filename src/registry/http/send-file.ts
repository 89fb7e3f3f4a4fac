import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { HttpContext } from './answers.js'
import { parseRange, type RangeAnswer } from './range.js'
import { type Segment, sendSegments } from './send-segments.js'

/** Minimum size of a file to be sent by the server in front. */
const minRedirectedBytes = 1 << 20

/** A blob to send. */
export interface Sendable {
  /** Its bytes: a file, or several files and bytes between them. */
  readonly segments: readonly Segment[]
  readonly digest: string
  readonly sizeBytes: number
  readonly contentType: string
  /** Headers in addition to those for content and caching. */
  readonly headers: Readonly<Record<string, string>>
  /** Path by which a reverse proxy sends the whole file. */
  readonly redirect?: string | undefined
}

/**
 * Responds to GET and HEAD with a blob, whole or in part, streamed from disk at the client's rate. The response to HEAD is that to GET,
 * without the body.
 */
export async function sendFile(context: HttpContext, file: Sendable): Promise<Response> {
  const { outgoing } = context.env
  const { req } = context
  const etag = `"${file.digest.slice('sha256:'.length)}"`
  const shared = { ETag: etag, 'Accept-Ranges': 'bytes', 'X-Content-Type-Options': 'nosniff', ...file.headers }
  const wanted = req.header('if-match')
  if (wanted !== undefined && !wanted.split(',').some((entry) => ['*', etag].includes(entry.trim()))) {
    outgoing.writeHead(412, { ...shared, 'Content-Length': '0' }).end()
    return RESPONSE_ALREADY_SENT
  }
  if (namesEtag(req.header('if-none-match'), etag)) {
    outgoing.writeHead(304, shared).end()
    return RESPONSE_ALREADY_SENT
  }
  const { status, start, end, headers } = answer(rangeOf(context, etag, file.sizeBytes), file.sizeBytes, context)
  const all = { ...shared, 'Content-Type': file.contentType, 'Content-Length': String(end - start), ...headers }
  if (req.method === 'HEAD' || end === start) {
    outgoing.writeHead(status, all).end()
    return RESPONSE_ALREADY_SENT
  }
  // The reverse proxy does not know the ETag, so it cannot evaluate If-Range.
  if (file.redirect !== undefined && end - start >= minRedirectedBytes && req.header('if-range') === undefined) {
    outgoing.writeHead(200, { ...shared, 'Content-Type': file.contentType, 'X-Accel-Redirect': file.redirect }).end()
    return RESPONSE_ALREADY_SENT
  }
  await sendSegments(outgoing, file.segments, start, end, () => outgoing.writeHead(status, all))
  return RESPONSE_ALREADY_SENT
}

function rangeOf(context: HttpContext, etag: string, size: number): RangeAnswer {
  const condition = context.req.header('if-range')
  const current = condition === undefined || condition === etag
  return current ? parseRange(context.req.header('range'), size) : { kind: 'whole' }
}

function answer(
  range: RangeAnswer,
  size: number,
  context: HttpContext,
): { status: number; start: number; end: number; headers: Record<string, string> } {
  switch (range.kind) {
    case 'whole':
      return { status: 200, start: 0, end: size, headers: {} }
    case 'part': {
      const { start, end } = range
      return { status: 206, start, end, headers: { 'Content-Range': `bytes ${start}-${end - 1}/${size}` } }
    }
    case 'unsatisfiable':
      return { status: hasItAll(context, size) ? 206 : 416, start: 0, end: 0, headers: { 'Content-Range': `bytes */${size}` } }
  }
}

/**
 * llama.cpp, stopped between the last byte and the renaming of its file, asks for the bytes after the end and takes anything but a 206
 * for a failure, on every later run too. To it alone, no bytes are sent as a 206, and it goes on. Source: common/download.cpp, v0.5.0.
 */
function hasItAll(context: HttpContext, size: number): boolean {
  return context.req.header('user-agent')?.startsWith('llama-cpp/') === true && context.req.header('range') === `bytes=${size}-`
}

function namesEtag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header.split(',').some((entry) => entry.trim() === '*' || entry.trim().replace(/^W\//, '') === etag)
}
