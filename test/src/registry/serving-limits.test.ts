import { randomBytes } from 'node:crypto'
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { get as getTls } from 'node:https'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createToken } from '../../../src/registry/index.js'
import { ask, digestOf, pushGguf } from '../../support/push.js'
import { runningRegistry, type TestRegistry } from '../../support/running-registry.js'
import { tinyGguf, writeTinyGguf } from '../../support/tiny-model.js'

const file = '/kjv/one/resolve/main/one-Q4_K_M.gguf'

async function withModel(options: Parameters<typeof runningRegistry>[0] = {}): Promise<TestRegistry> {
  const registry = await runningRegistry(options)
  await registry.publish({ source: await writeTinyGguf(registry.folder, 'one.gguf'), name: 'kjv/one:Q4_K_M' })
  return registry
}

async function left({ directory }: TestRegistry): Promise<number> {
  return (await readdir(join(directory, 'tmp'))).filter((name) => name.endsWith('.upload')).length
}

describe('a private registry', () => {
  test('is read with a token alone, each namespace with one of its own, and says no more to others', async () => {
    await using registry = await withModel({ isPrivate: true })
    await registry.publish({ source: await writeTinyGguf(registry.folder, 'two.gguf', { value: 2 }), name: 'other/two:Q4_K_M' })
    const make = async (namespaces?: string[]): Promise<string> =>
      (await createToken(registry.directory, { name: 'reader', write: false, namespaces })).token
    const [all, kjv] = [await make(), await make(['kjv'])]
    const status = async (path: string, token?: string): Promise<number> => (await ask(registry.url, path, { token })).status
    for (const path of [
      file,
      '/api/models',
      '/api/models/kjv/one',
      '/v2/',
      '/v2/_catalog',
      '/v2/kjv/one/tags/list',
      '/kjv/one',
      '/',
    ])
      expect([path, await status(path)]).toEqual([path, 401])
    expect((await ask(registry.url, '/v2/')).headers.get('www-authenticate')).toMatch(/^Basic realm=/)
    expect([await status(file, all), await status(file, kjv), await status('/api/models/other/two', all)]).toEqual([
      200, 200, 200,
    ])
    // What may not be read is answered like what is not there.
    const unreadable = ['/other/two/resolve/main/two-Q4_K_M.gguf', '/api/models/other/two', '/v2/other/two/manifests/Q4_K_M']
    for (const path of unreadable) {
      const hidden = await ask(registry.url, path, { token: kjv })
      const absent = await ask(registry.url, path.replace('two', 'not'), { token: kjv })
      expect([hidden.status, await hidden.text()]).toEqual([404, await absent.text()])
    }
    const models = (await (await ask(registry.url, '/api/models', { token: kjv })).json()) as { id: string }[]
    expect(models.map(({ id }) => id)).toEqual(['kjv/one'])
    expect(await (await ask(registry.url, '/v2/_catalog', { token: kjv })).json()).toEqual({ repositories: ['kjv/one'] })
  })

  test('signs addresses of blobs for clients that send no credentials there', async () => {
    await using registry = await withModel({ isPrivate: true })
    const { token } = await createToken(registry.directory, { name: 'reader', write: false })
    const path = `/v2/kjv/one/blobs/${digestOf(tinyGguf())}`
    const whole = await ask(registry.url, path, { token })
    const location = whole.headers.get('location') as string
    const part = await ask(registry.url, location, { headers: { range: 'bytes=0-3' } })
    expect([part.status, await part.text()]).toEqual([206, 'GGUF'])
    expect(
      (
        await ask(
          registry.url,
          location.replace(/.$/, (last) => (last === '0' ? '1' : '0')),
        )
      ).status,
    ).toBe(401)
    expect((await ask(registry.url, location.replace('/one/', '/two/'))).status).toBe(401)
    expect((await ask(registry.url, location, { method: 'DELETE' })).status).toBe(401)
  })
})

describe('uploads', () => {
  test('beyond the quota are refused, and leave nothing', async () => {
    await using registry = await withModel({ quotaBytes: 100_000 })
    const { token } = await createToken(registry.directory, { name: 'writer', write: true })
    const push = (bytes: Uint8Array): Promise<Response> =>
      ask(registry.url, `/v2/kjv/x/blobs/uploads/?digest=${digestOf(bytes)}`, { method: 'POST', body: bytes, token })
    expect((await push(randomBytes(60_000))).status).toBe(201)
    const refused = await push(randomBytes(60_000))
    expect([refused.status, await refused.text()]).toEqual([413, expect.stringContaining('may hold 100000 bytes')])
    // Announced or not: a body in chunks is counted as it comes.
    const begun = await ask(registry.url, '/v2/kjv/x/blobs/uploads/', { method: 'POST', token })
    const location = begun.headers.get('location') as string
    expect((await ask('', location, { method: 'PATCH', body: randomBytes(60_000), token })).status).toBe(413)
    const value = { path: 'a.txt', content: randomBytes(60_000).toString('base64'), encoding: 'base64' }
    const body = JSON.stringify({ key: 'file', value })
    expect((await ask(registry.url, '/api/models/kjv/x/commit/main', { method: 'POST', body, token })).status).toBe(413)
    expect((await push(randomBytes(10_000))).status).toBe(201)
    expect((await ask('', location, { method: 'DELETE', token })).status).toBe(204)
    expect(await left(registry)).toBe(0)
  })

  test('that nobody writes to are removed', async () => {
    await using registry = await withModel({ uploadIdleMs: 50 })
    const { token } = await createToken(registry.directory, { name: 'writer', write: true })
    const begun = await ask(registry.url, '/v2/kjv/x/blobs/uploads/', { method: 'POST', token })
    expect([begun.status, await left(registry)]).toEqual([202, 1])
    while ((await left(registry)) > 0) await sleep(20)
    expect((await ask('', begun.headers.get('location') as string, { token })).status).toBe(404)
  })

  test('a blob is there for those who push it, at once, and for no other repository', async () => {
    await using registry = await withModel()
    const { token } = await createToken(registry.directory, { name: 'writer', write: true })
    const bytes = randomBytes(100)
    const pushed = `/v2/kjv/fresh/blobs/uploads/?digest=${digestOf(bytes)}`
    await ask(registry.url, pushed, { method: 'POST', body: bytes, token })
    const status = async (name: string): Promise<number> =>
      (await ask(registry.url, `/v2/${name}/blobs/${digestOf(bytes)}`)).status
    expect([await status('kjv/fresh'), await status('kjv/one')]).toEqual([200, 404])
    const mount = `/v2/kjv/mounted/blobs/uploads/?mount=${digestOf(bytes)}&from=kjv/fresh`
    expect((await ask(registry.url, mount, { method: 'POST', token })).status).toBe(201)
    expect(await status('kjv/mounted')).toBe(200)
  })
})

describe('those who stall', () => {
  async function stalled(registry: TestRegistry, count: number, request: string): Promise<Socket[]> {
    const { hostname, port } = new URL(registry.url)
    return Promise.all(
      Array.from({ length: count }, async () => {
        const socket = connect(Number(port), hostname).on('error', () => undefined)
        await new Promise((resolve) => socket.once('connect', resolve))
        socket.pause()
        socket.write(request)
        return socket
      }),
    )
  }

  test('300 readers, 300 senders of half a header and 50 of half a body leave others served', async () => {
    await using registry = await withModel()
    const large = join(registry.folder, 'large.gguf')
    await writeFile(large, tinyGguf({ value: 8 }))
    await truncate(large, 16 << 20)
    await registry.publish({ source: large, name: 'kjv/large:Q4_K_M' })
    const { token } = await createToken(registry.directory, { name: 'writer', write: true })
    const before = process.memoryUsage.rss()
    const sockets = [
      ...(await stalled(registry, 300, 'GET /kjv/large/resolve/main/large-Q4_K_M.gguf HTTP/1.1\r\nHost: localhost\r\n\r\n')),
      ...(await stalled(registry, 300, 'GET /kjv/one HTTP/1.1\r\nHost: localhost\r\nX-Slow: ')),
      ...(await stalled(
        registry,
        50,
        `POST /v2/kjv/x/blobs/uploads/?digest=sha256:${'0'.repeat(64)} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Length: 1000\r\n\r\nx`,
      )),
    ]
    const started = performance.now()
    for (let round = 0; round < 10; round++) {
      const answer = await ask(registry.url, file)
      expect(digestOf(new Uint8Array(await answer.arrayBuffer()))).toBe(digestOf(tinyGguf()))
    }
    await pushGguf(registry.url, { name: 'kjv/meanwhile', tag: 'one', files: [tinyGguf({ value: 3 })], token })
    expect(performance.now() - started).toBeLessThan(20_000)
    // Client and server are one process here: what 300 readers hold of the file stays far from 300 chunks of it.
    expect(process.memoryUsage.rss() - before).toBeLessThan(300 << 20)
    for (const socket of sockets) socket.destroy()
    while ((await left(registry)) > 0) await sleep(20)
  })

  test('a header without end is closed, and one that is too long refused', async () => {
    await using registry = await withModel()
    const [socket] = await stalled(registry, 1, `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    let answer = ''
    for await (const chunk of socket as Socket) answer += String(chunk)
    expect(answer).toMatch(/^HTTP\/1\.1 431 /)
  })
})

describe('TLS', () => {
  test('by certificate and key, whose addresses are https', async () => {
    const [cert, key] = await Promise.all(['cert', 'key'].map((name) => readFile(`test/support/tls/${name}.pem`)))
    await using registry = await withModel({ tls: { cert: cert as Buffer, key: key as Buffer } })
    expect(registry.url).toMatch(/^https:/)
    const { token } = await createToken(registry.directory, { name: 'writer', write: true })
    const answer = await new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
      getTls(`${registry.url}${file}`, { ca: cert }, (response) => {
        let body = ''
        response.on('data', (chunk: Buffer) => {
          body += chunk.toString('latin1')
        })
        response.once('end', () => resolve({ status: response.statusCode, body }))
      }).once('error', reject)
    })
    expect([answer.status, answer.body.slice(0, 4)]).toEqual([200, 'GGUF'])
    const location = await new Promise<string | undefined>((resolve, reject) => {
      const headers = { authorization: `Bearer ${token}` }
      const url = new URL('/v2/kjv/x/blobs/uploads/', registry.url)
      getTls(url, { ca: cert, method: 'POST', headers }, (response) => {
        response.resume()
        resolve(response.headers.location)
      }).once('error', reject)
    })
    expect(location).toMatch(/^https:\/\/127\.0\.0\.1:\d+\/v2\/kjv\/x\/blobs\/uploads\//)
    await expect(fetch(`${registry.url}${file}`)).rejects.toThrow('fetch failed')
    await expect(fetch(`${registry.url.replace('https', 'http')}${file}`)).rejects.toThrow('fetch failed')
  })
})
