import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

export interface FolderHub extends AsyncDisposable {
  readonly url: string
  /** Bytes of bodies that were sent. */
  readonly sentBytes: () => number
  /** Path and range of each request for a file. */
  readonly requests: readonly string[]
}

const commit = 'c'.repeat(40)

/**
 * A hub with one repository, `test/model`, whose files are those of a folder: as much of the Hugging Face API as lists and ranges need. It
 * counts what it sends, which may be a part of files that are mostly holes.
 * @param options.ranges false for a server that sends whole files whatever is asked.
 */
export async function folderHub(folder: string, { ranges = true }: { readonly ranges?: boolean } = {}): Promise<FolderHub> {
  let sent = 0
  const requests: string[] = []
  const answerFile = async (response: ServerResponse, name: string, range: string | undefined): Promise<void> => {
    requests.push(`${name} ${range ?? 'whole'}`)
    const path = join(folder, name)
    const { size } = await stat(path)
    const [, from, to] = (ranges ? /^bytes=(\d+)-(\d+)$/.exec(range ?? '') : null) ?? []
    const [start, end] = from === undefined ? [0, size - 1] : [Number(from), Math.min(Number(to), size - 1)]
    response.writeHead(from === undefined ? 200 : 206, {
      'Content-Length': end + 1 - start,
      ...(from !== undefined && { 'Content-Range': `bytes ${start}-${end}/${size}` }),
    })
    createReadStream(path, { start, end })
      .on('data', (chunk) => {
        sent += chunk.length
      })
      .pipe(response)
  }
  const answer = async (response: ServerResponse, url: string, range: string | undefined): Promise<void> => {
    const [path = ''] = url.split('?')
    const file = /^\/test\/model\/resolve\/[^/]+\/(.+)$/.exec(path)?.[1]
    const json = (body: unknown): void => void response.setHeader('Content-Type', 'application/json').end(JSON.stringify(body))
    if (file !== undefined) return answerFile(response, file, range)
    if (path.startsWith('/api/models/test/model/tree/')) {
      const names = (await readdir(folder)).toSorted()
      const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size))
      return json(names.map((name, index) => ({ type: 'file', path: name, size: sizes[index], oid: 'a'.repeat(40) })))
    }
    if (path.startsWith('/api/models/test/model')) {
      const date = '2025-01-20T00:00:00.000Z'
      return json({
        _id: '0',
        id: 'test/model',
        sha: commit,
        private: false,
        gated: false,
        downloads: 0,
        likes: 0,
        lastModified: date,
      })
    }
    response.writeHead(404).end()
  }
  const server = createServer((request, response) => {
    answer(response, request.url ?? '', request.headers.range).catch(() => response.writeHead(404).end())
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sentBytes: () => sent,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}
