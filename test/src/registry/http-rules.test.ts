import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createToken } from '../../../src/registry/index.js'
import { ask } from '../../support/push.js'
import { runningRegistry, type TestRegistry } from '../../support/running-registry.js'
import { tinyGguf, writeTinyGguf } from '../../support/tiny-model.js'

const bytes = Buffer.from(tinyGguf({ value: 3 }))
const etag = `"${createHash('sha256').update(bytes).digest('hex')}"`
const path = '/kjv/one/resolve/main/one-Q4_K_M.gguf'
let registry: TestRegistry

beforeAll(async () => {
  registry = await runningRegistry()
  await registry.publish({ source: await writeTinyGguf(registry.folder, 'one.gguf', { value: 3 }), name: 'kjv/one:Q4_K_M' })
  const { token } = await createToken(registry.directory, { name: 'writer', write: true })
  const lines = [
    { key: 'file', value: { path: 'empty.txt', content: '', encoding: 'base64' } },
    { key: 'file', value: { path: 'some.txt', content: 'eA==', encoding: 'base64' } },
  ]
  const body = lines.map((line) => JSON.stringify(line)).join('\n')
  await ask(registry.url, '/api/models/kjv/empty/commit/main', { method: 'POST', body, token })
})

afterAll(async () => {
  await registry[Symbol.asyncDispose]()
})

/** What the server answers to bytes as they are, until it closes the connection. */
async function raw(request: string): Promise<string> {
  const { hostname, port } = new URL(registry.url)
  const socket = connect(Number(port), hostname)
  socket.write(request)
  let answer = ''
  for await (const chunk of socket) answer += String(chunk)
  return answer
}

/** RFC 9110, 13.1 and 14.2. */
describe('conditions', () => {
  test.each<[Record<string, string>, number]>([
    [{ 'if-match': etag }, 200],
    [{ 'if-match': '*' }, 200],
    [{ 'if-match': `"x", ${etag}` }, 200],
    [{ 'if-match': '"x"' }, 412],
    [{ 'if-match': `W/${etag}` }, 412],
    [{ 'if-match': etag, range: 'bytes=0-3' }, 206],
    [{ 'if-match': '"x"', range: 'bytes=0-3' }, 412],
    [{ 'if-none-match': etag }, 304],
    [{ 'if-none-match': `W/${etag}` }, 304],
    [{ 'if-none-match': '*' }, 304],
    [{ 'if-none-match': '"x"' }, 200],
    [{ 'if-range': etag, range: 'bytes=0-3' }, 206],
    [{ 'if-range': '"x"', range: 'bytes=0-3' }, 200],
    [{ 'if-range': `W/${etag}`, range: 'bytes=0-3' }, 200],
    [{ 'if-range': 'Wed, 21 Oct 2026 07:28:00 GMT', range: 'bytes=0-3' }, 200],
    [{ range: `bytes=${bytes.byteLength}-` }, 416],
  ])('%j: %i, from GET and HEAD alike', async (headers, status) => {
    const [got, head] = await Promise.all(['GET', 'HEAD'].map((method) => ask(registry.url, path, { method, headers })))
    expect([got?.status, head?.status]).toEqual([status, status])
    const body = await got?.arrayBuffer()
    const wanted = { 200: bytes.byteLength, 206: 4 }[status] ?? 0
    expect(body?.byteLength).toBe(wanted)
    if (status !== 304)
      expect([got, head].map((answer) => answer?.headers.get('content-length'))).toEqual([`${wanted}`, `${wanted}`])
    expect(got?.headers.get('etag')).toBe(etag)
  })
})

describe('empty files', () => {
  test('are there, and have no range', async () => {
    const empty = '/kjv/empty/resolve/main/empty.txt'
    for (const method of ['GET', 'HEAD']) {
      const answer = await ask(registry.url, empty, { method })
      expect([answer.status, answer.headers.get('content-length'), await answer.text()]).toEqual([200, '0', ''])
    }
    const part = await ask(registry.url, empty, { headers: { range: 'bytes=0-' } })
    expect([part.status, part.headers.get('content-range')]).toEqual([416, 'bytes */0'])
  })
})

describe('HTTP/1.0', () => {
  test('a client without Host gets the file, in a length and not in chunks', async () => {
    const answer = await raw(`GET ${path} HTTP/1.0\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.[01] 200 OK\r\n/)
    expect(answer).toMatch(new RegExp(`content-length: ${bytes.byteLength}\r\n`, 'i'))
    expect(answer).not.toMatch(/transfer-encoding/i)
    const listing = await raw('GET /api/models HTTP/1.0\r\n\r\n')
    expect(listing).toMatch(/^HTTP\/1\.[01] 200 OK\r\n/)
    expect(listing).not.toMatch(/transfer-encoding: chunked/i)
  })

  test('what is no HTTP gets 400', async () => {
    expect(await raw('HELLO\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
    expect(await raw(`GET ${path} HTTP/1.1\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /)
  })
})

describe('methods', () => {
  test.each([
    ['POST', '/v2/', 'GET, HEAD'],
    ['DELETE', '/v2/_catalog', 'GET, HEAD'],
    ['PUT', '/v2/kjv/one/tags/list', 'GET, HEAD'],
    ['POST', '/v2/kjv/one/manifests/Q4_K_M', 'GET, HEAD, PUT, DELETE'],
    ['DELETE', `/v2/kjv/one/blobs/sha256:${'0'.repeat(64)}`, 'GET, HEAD'],
    ['POST', path, 'GET, HEAD'],
    ['DELETE', '/api/models', 'GET, HEAD'],
    ['GET', '/api/models/kjv/one/commit/main', 'POST'],
    ['PUT', '/api/repos/create', 'POST'],
  ])('%s %s: 405, Allow: %s', async (method, address, allow) => {
    const answer = await ask(registry.url, address, { method })
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, allow])
  })
})

describe('large files', () => {
  test('arrive whole over connections that are used again, to clients that go away, and in ranges; the log counts their bytes', async () => {
    const large = join(registry.folder, 'large.gguf')
    const content = Buffer.concat([bytes, randomBytes(24 << 20)])
    await writeFile(large, content)
    await registry.publish({ source: large, name: 'kjv/large:Q4_K_M' })
    const sha256 = (body: Uint8Array): string => createHash('sha256').update(body).digest('hex')
    const address = '/kjv/large/resolve/main/large-Q4_K_M.gguf'
    const agent = new Agent({ keepAlive: true, maxSockets: 3 })
    const pull = (range?: string, leave = false): Promise<Buffer> =>
      new Promise((resolve, reject) => {
        const headers = range === undefined ? {} : { range }
        get(`${registry.url}${address}`, { agent, headers }, (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => {
            chunks.push(chunk)
            if (leave) response.destroy()
          })
          response.once('close', () => resolve(Buffer.concat(chunks)))
        }).once('error', reject)
      })
    const whole = sha256(content)
    const [first, , third] = await Promise.all([pull(), pull(undefined, true), pull(), pull(undefined, true)])
    expect([sha256(first), sha256(third)]).toEqual([whole, whole])
    expect(sha256(await pull('bytes=1000001-20000000'))).toBe(sha256(content.subarray(1_000_001, 20_000_001)))
    expect(sha256(await pull())).toBe(whole)
    agent.destroy()
    const logged = registry.log.filter((line) => line.includes(address) && / 200 \d+ B/.test(line))
    for (const line of logged) expect(Number(/ 200 (\d+) B/.exec(line)?.[1])).toBeGreaterThan(content.byteLength)
    expect(logged.length).toBeGreaterThanOrEqual(2)
  })
})

describe('X-Accel-Redirect', () => {
  test('names large files for a server in front, and leaves headers, small parts and conditions to us', async () => {
    await using behind = await runningRegistry({ accelPrefix: '/blobs' })
    await behind.publish({ source: 'samples/llama-kjv', name: 'kjv/llama' })
    const address = '/kjv/llama/resolve/main/model.safetensors'
    const head = await ask(behind.url, address, { method: 'HEAD' })
    const digest = head.headers.get('x-linked-etag')?.replaceAll('"', '')
    expect([head.status, head.headers.has('x-accel-redirect')]).toEqual([200, false])
    const whole = await ask(behind.url, address)
    expect([whole.headers.get('x-accel-redirect'), (await whole.arrayBuffer()).byteLength]).toEqual([
      `/blobs/sha256/${digest}`,
      0,
    ])
    const small = await ask(behind.url, address, { headers: { range: 'bytes=0-0' } })
    expect([small.status, (await small.arrayBuffer()).byteLength]).toEqual([206, 1])
    const conditional = await ask(behind.url, address, { headers: { range: 'bytes=0-2000000', 'if-range': `"${digest}"` } })
    expect([conditional.status, conditional.headers.has('x-accel-redirect')]).toEqual([206, false])
    await conditional.body?.cancel()
    const file = await readFile('samples/llama-kjv/model.safetensors')
    expect(digest).toBe(createHash('sha256').update(file).digest('hex'))
  })
})
