import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What a request for a file is answered with, if not as a server should. */
export type FileAnswer = (request: FileRequest, response: ServerResponse) => void | Promise<void>

export interface FileRequest {
  readonly path: string
  readonly bytes: Buffer
  /** Start of the range that is asked for; undefined where the whole file is. */
  readonly start: number | undefined
  /** One past the last byte that is asked for, where the range says it. */
  readonly end?: number | undefined
  /** How often this file was asked for before. */
  readonly count: number
}

export interface WaywardOptions {
  readonly files: Readonly<Record<string, Buffer>>
  /** Answers for a file; without it, as a server with ranges does. */
  readonly onFile?: FileAnswer
  /** Answers any request first; true where it has. */
  readonly onRequest?: (request: IncomingMessage, response: ServerResponse) => boolean
  /** Entries of a page of the listing; all unless said otherwise. */
  readonly pageSize?: number
  /** The Link header for the address of the next page, a path from the root on. */
  readonly link?: (next: string, base: string) => string
  /** Entries to list although they are not there. */
  readonly extraEntries?: readonly object[]
  /** Path before all others, such as `/mirror`. */
  readonly prefix?: string
}

export interface WaywardHub extends AsyncDisposable {
  readonly url: string
  /** `GET /path [range]` of each request, in order. */
  readonly requests: readonly string[]
}

export const waywardCommit = 'c'.repeat(40)

/** A hub with one repository, `ns/model`, that errs as it is told to. */
export async function waywardHub(options: WaywardOptions): Promise<WaywardHub> {
  const { files, onFile = sendAsAsked, onRequest = () => false, pageSize = 1000, prefix = '', extraEntries = [] } = options
  const requests: string[] = []
  const counts = new Map<string, number>()
  let base = ''
  const entries = [...Object.entries(files).map(([path, bytes]) => entryOf(path, bytes)), ...extraEntries]
  const listing = (url: URL, response: ServerResponse): void => {
    const from = Number(url.searchParams.get('cursor') ?? 0)
    const next = `${url.pathname}?recursive=true&cursor=${from + pageSize}`
    if (from + pageSize < entries.length) response.setHeader('Link', (options.link ?? absoluteLink)(next, base))
    sendJson(response, entries.slice(from, from + pageSize))
  }
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://hub')
    requests.push([request.method, request.url, request.headers.range].filter(Boolean).join(' '))
    if (onRequest(request, response)) return
    const path = url.pathname.slice(prefix.length)
    if (!url.pathname.startsWith(prefix)) return void response.writeHead(404).end()
    if (path.startsWith('/api/models/ns/model/tree/')) return listing(url, response)
    if (path === '/api/models/ns/model/refs') return sendJson(response, { branches: [], tags: [] })
    if (path.startsWith('/api/models/ns/model')) return sendJson(response, { id: 'ns/model', sha: waywardCommit })
    const name = decodeURIComponent(/^\/ns\/model\/resolve\/[^/]+\/(.+)$/.exec(path)?.[1] ?? '')
    const bytes = files[name]
    if (bytes === undefined) return void response.writeHead(404).end()
    const count = counts.get(name) ?? 0
    counts.set(name, count + 1)
    const [, start, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
    const end = last === undefined || last === '' ? undefined : Number(last) + 1
    void onFile({ path: name, bytes, start: start === undefined ? undefined : Number(start), end, count }, response)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: base + prefix,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}

/** As a server with ranges answers. */
export function sendAsAsked({ bytes, start, end }: FileRequest, response: ServerResponse): void {
  const stop = Math.min(end ?? bytes.byteLength, bytes.byteLength)
  if (start === undefined) return void response.writeHead(200, { 'Content-Length': bytes.byteLength }).end(bytes)
  response.writeHead(206, { 'Content-Range': `bytes ${start}-${stop - 1}/${bytes.byteLength}` }).end(bytes.subarray(start, stop))
}

/** Sends the head of an answer that announces all of `bytes`, and `count` of them; then the connection breaks. */
export function sendAndCut(response: ServerResponse, bytes: Buffer, count: number, status = 200, headers: object = {}): void {
  response.writeHead(status, { 'Content-Length': bytes.byteLength, ...headers })
  response.write(bytes.subarray(0, count), () => setTimeout(() => response.destroy(), 20))
}

function absoluteLink(next: string, base: string): string {
  return `<${base}${next}>; rel="next"`
}

function sendJson(response: ServerResponse, body: unknown): void {
  response.setHeader('Content-Type', 'application/json').end(JSON.stringify(body))
}

/** An entry of a listing, as the hub gives one for a file of Git LFS. */
export function entryOf(path: string, bytes: Buffer): object {
  const oid = createHash('sha256').update(bytes).digest('hex')
  const size = bytes.byteLength
  return { type: 'file', path, size, oid: 'a'.repeat(40), lfs: { oid, size, pointerSize: 130 } }
}
