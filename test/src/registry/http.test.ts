import { createHash } from 'node:crypto'
import { readFile, truncate } from 'node:fs/promises'
import { get } from 'node:http'
import { join } from 'node:path'
import {
  checkRepoAccess,
  downloadFile,
  fileDownloadInfo,
  listFiles,
  listModels,
  modelInfo,
  pathsInfo,
  snapshotDownload,
} from '@huggingface/hub'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { startRegistry } from '../../../src/registry/index.js'
import { runningRegistry, type TestRegistry } from '../../support/running-registry.js'
import { writeTinyGguf } from '../../support/tiny-model.js'

const sample = 'samples/llama-kjv'
const weightsPath = join(sample, 'model.safetensors')

let registry: TestRegistry
let weights: Buffer
let sha256: string

beforeAll(async () => {
  registry = await runningRegistry()
  weights = await readFile(weightsPath)
  sha256 = createHash('sha256').update(weights).digest('hex')
  await registry.publish({ source: sample, name: 'kjv/llama' })
  // Published in an order in which the first match of `F16[.-]` would be the BF16 file.
  for (const [tag, value] of [
    ['BF16', 1],
    ['F16', 2],
    ['Q4_K_M', 3],
  ] as const) {
    const source = await writeTinyGguf(registry.folder, `${tag}.gguf`, { value })
    await registry.publish({ source, name: `kjv/tiny:${tag}` })
  }
})

afterAll(async () => {
  await registry[Symbol.asyncDispose]()
})

function call(path: string, init?: RequestInit): Promise<Response> {
  return fetch(`${registry.url}${path}`, init)
}

async function json<Body>(path: string): Promise<Body> {
  return (await (await call(path)).json()) as Body
}

interface Refs {
  readonly branches: readonly { readonly name: string; readonly targetCommit: string }[]
  readonly tags: readonly { readonly name: string }[]
}

describe('@huggingface/hub', () => {
  const repo = { type: 'model', name: 'kjv/llama' } as const

  test('lists, checks and describes', async () => {
    const hubUrl = registry.url
    await expect(checkRepoAccess({ repo, hubUrl })).resolves.toBeUndefined()
    await expect(checkRepoAccess({ repo: { ...repo, name: 'kjv/none' }, hubUrl })).rejects.toMatchObject({ statusCode: 404 })
    const files = await collect(listFiles({ repo, hubUrl, recursive: true }))
    const listed = files.find(({ path }) => path === 'model.safetensors')
    expect(listed).toMatchObject({ type: 'file', size: weights.byteLength, lfs: { oid: sha256, size: weights.byteLength } })
    const info = await modelInfo({ name: 'kjv/llama', revision: 'main', hubUrl, additionalFields: ['sha', 'filePaths'] })
    expect(info.sha).toMatch(/^[0-9a-f]{40}$/)
    expect(info.filePaths).toContain('tokenizer.json')
    const models = await collect(listModels({ hubUrl, search: { owner: 'kjv' } }))
    expect(models.map(({ name }) => name)).toEqual(['kjv/llama', 'kjv/tiny'])
    const [config] = await pathsInfo({ repo, hubUrl, paths: ['config.json', 'none.json'], expand: true })
    expect(config).toMatchObject({ path: 'config.json', lastCommit: { id: info.sha } })
  })

  test('downloads, whole and in parts', async () => {
    const blob = await downloadFile({ repo, path: 'model.safetensors', hubUrl: registry.url })
    expect(blob?.size).toBe(weights.byteLength)
    expect(Buffer.from(await (blob as Blob).slice(1000, 2000).arrayBuffer())).toEqual(weights.subarray(1000, 2000))
    expect(weights.equals(Buffer.from(await (blob as Blob).arrayBuffer()))).toBe(true)
    expect(await fileDownloadInfo({ repo, path: 'model.safetensors', hubUrl: registry.url })).toMatchObject({
      etag: `"${sha256}"`,
    })
    expect(await downloadFile({ repo, path: 'none', hubUrl: registry.url })).toBeNull()
  })

  test('takes a snapshot', async () => {
    vi.spyOn(console, 'debug').mockImplementation(() => {})
    const folder = await snapshotDownload({ repo, hubUrl: registry.url, cacheDir: join(registry.folder, 'cache') })
    expect(weights.equals(await readFile(join(folder, 'model.safetensors')))).toBe(true)
    expect(await readFile(join(folder, 'config.json'))).toEqual(await readFile(join(sample, 'config.json')))
  })
})

describe('what llama.cpp asks', () => {
  test('refs, then the tree of main, in an order in which each tag finds its own file', async () => {
    const refs = await json<Refs>('/api/models/kjv/tiny/refs')
    expect(refs.branches).toEqual([
      { name: 'main', ref: 'refs/heads/main', targetCommit: expect.stringMatching(/^[0-9a-f]{40}$/) },
    ])
    expect(refs.tags.map(({ name }) => name).sort()).toEqual(['BF16', 'F16', 'Q4_K_M'])
    const commit = refs.branches[0]?.targetCommit
    const tree = await json<{ path: string }[]>(`/api/models/kjv/tiny/tree/${commit}?recursive=true`)
    for (const tag of ['F16', 'BF16', 'Q4_K_M']) {
      const first = tree.find(({ path }) => new RegExp(`${tag}[.-]`, 'i').test(path))
      expect(first?.path).toBe(`tiny-${tag}.gguf`)
    }
    for (const { path } of tree) expect((await call(`/kjv/tiny/resolve/${commit}/${path}`, { method: 'HEAD' })).status).toBe(200)
  })

  test('a tag is a revision of its own', async () => {
    const tree = await json<{ path: string }[]>('/api/models/kjv/tiny/tree/F16?recursive=true')
    expect(tree.map(({ path }) => path)).toEqual(['tiny-F16.gguf'])
    expect((await call('/kjv/tiny/resolve/F16/tiny-BF16.gguf')).headers.get('x-error-code')).toBe('EntryNotFound')
  })

  test('the rest of a file that it has already is empty, where others are told that there is none', async () => {
    const path = '/kjv/llama/resolve/main/model.safetensors'
    const range = `bytes=${weights.byteLength}-`
    const others = await call(path, { headers: { range } })
    expect([others.status, others.headers.get('content-range')]).toEqual([416, `bytes */${weights.byteLength}`])
    const llama = await call(path, { headers: { range, 'user-agent': 'llama-cpp/b9000-abc' } })
    expect([llama.status, (await llama.arrayBuffer()).byteLength]).toEqual([206, 0])
  })

  test('a commit that was listed stays while another tag is published', async () => {
    const before = (await json<Refs>('/api/models/kjv/tiny/refs')).branches[0]?.targetCommit
    const source = await writeTinyGguf(registry.folder, 'late.gguf', { value: 9 })
    await registry.publish({ source, name: 'kjv/tiny:LATE' })
    const after = (await json<Refs>('/api/models/kjv/tiny/refs')).branches[0]?.targetCommit
    expect(after).not.toBe(before)
    expect((await call(`/kjv/tiny/resolve/${before}/tiny-F16.gguf`)).status).toBe(200)
  })
})

describe('files', () => {
  const path = '/kjv/llama/resolve/main/model.safetensors'

  test('HEAD says what GET will', async () => {
    const head = await call(path, { method: 'HEAD' })
    expect(head.status).toBe(200)
    expect(Object.fromEntries(head.headers)).toMatchObject({
      etag: `"${sha256}"`,
      'accept-ranges': 'bytes',
      'content-length': String(weights.byteLength),
      'x-linked-size': String(weights.byteLength),
      'x-repo-commit': expect.stringMatching(/^[0-9a-f]{40}$/),
    })
    const part = await call(path, { method: 'HEAD', headers: { range: 'bytes=5-9' } })
    expect([part.status, part.headers.get('content-length')]).toEqual([206, '5'])
    expect(part.headers.get('content-range')).toBe(`bytes 5-9/${weights.byteLength}`)
  })

  test('ranges, conditional and not', async () => {
    const part = await call(path, { headers: { range: 'bytes=-100' } })
    expect([part.status, Buffer.from(await part.arrayBuffer())]).toEqual([206, weights.subarray(-100)])
    const matching = await call(path, { headers: { range: 'bytes=0-9', 'if-range': `"${sha256}"` } })
    expect(matching.status).toBe(206)
    await matching.arrayBuffer()
    const changed = await call(path, { headers: { range: 'bytes=0-9', 'if-range': '"another"' } })
    expect([changed.status, (await changed.arrayBuffer()).byteLength]).toEqual([200, weights.byteLength])
    expect((await call(path, { headers: { 'if-none-match': `"${sha256}"` } })).status).toBe(304)
  })

  test('many at once', async () => {
    const parts = await Promise.all(
      Array.from({ length: 64 }, async (_, index) => {
        const response = await call(path, { headers: { range: `bytes=${index * 1000}-${index * 1000 + 999}` } })
        return Buffer.from(await response.arrayBuffer())
      }),
    )
    expect(weights.subarray(0, 64_000).equals(Buffer.concat(parts))).toBe(true)
  })

  test('names are found in any case, as OCI clients write them', async () => {
    expect((await call('/KJV/Llama/resolve/main/config.json')).status).toBe(200)
    expect((await call('/v2/KJV/LLAMA/manifests/main')).status).toBe(200)
  })

  test.each([
    ['/kjv/none/resolve/main/config.json', 'RepoNotFound'],
    ['/kjv/llama/resolve/none/config.json', 'RevisionNotFound'],
    [`/kjv/llama/resolve/${'0'.repeat(40)}/config.json`, 'RevisionNotFound'],
    ['/kjv/llama/resolve/main/none.json', 'EntryNotFound'],
    ['/kjv/llama/resolve/main/..%2f..%2f..%2findex.json', 'EntryNotFound'],
    ['/kjv/llama/resolve/main/%2e%2e/index.json', undefined],
    ['/kjv/%2e%2e%2fllama/resolve/main/config.json', 'RepoNotFound'],
    ['/..%2f..%2f/etc/resolve/main/passwd', 'RepoNotFound'],
    ['/api/models/kjv/llama/tree/main/none', 'EntryNotFound'],
    ['/api/models/kjv/none/refs', 'RepoNotFound'],
  ])('%s is not there: %s', async (path, code) => {
    // Node's own client sends the path as it is; fetch would tidy it up.
    const { status, headers } = await rawGet(`${registry.url}${path}`)
    expect([status, headers['x-error-code']]).toEqual([404, code])
  })

  test('any path gets an answer that is no failure of the server', async () => {
    const piece = fc.constantFrom(
      'kjv',
      'llama',
      'api',
      'models',
      'resolve',
      'main',
      'tree',
      'v2',
      'blobs',
      '..',
      '%',
      '%2f',
      '%00',
      '%ff',
      '',
      '?',
      'a',
    )
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
        expect((await rawGet(`${registry.url}/${pieces.join('/')}`)).status).toBeLessThan(500)
      }),
      { numRuns: 300 },
    )
  })

  test('bodies and headers are bounded', async () => {
    const body = JSON.stringify({ paths: ['x'.repeat(2 << 20)] })
    const headers = { 'content-type': 'application/json' }
    expect((await call('/api/models/kjv/llama/paths-info/main', { method: 'POST', body, headers })).status).toBe(413)
    const bad = await call('/api/models/kjv/llama/paths-info/main', { method: 'POST', body: '{', headers })
    expect(bad.status).toBe(400)
    expect((await call(path, { headers: { 'x-long': 'x'.repeat(20_000) } })).status).toBe(431)
  })
})

describe('OCI clients', () => {
  test('read manifests, configuration and blobs by digest', async () => {
    expect((await call('/v2/')).status).toBe(200)
    expect(await (await call('/v2/kjv/llama/tags/list')).json()).toEqual({ name: 'kjv/llama', tags: ['main'] })
    const response = await call('/v2/kjv/llama/manifests/main')
    const bytes = Buffer.from(await response.arrayBuffer())
    const digest = response.headers.get('docker-content-digest')
    expect(digest).toBe(`sha256:${createHash('sha256').update(bytes).digest('hex')}`)
    expect(response.headers.get('content-type')).toBe('application/vnd.oci.image.manifest.v1+json')
    expect((await call(`/v2/kjv/llama/manifests/${digest}`, { method: 'HEAD' })).headers.get('content-length')).toBe(
      String(bytes.byteLength),
    )
    const part = await call(`/v2/kjv/llama/blobs/sha256:${sha256}`, { headers: { range: 'bytes=0-3' } })
    expect([part.status, Buffer.from(await part.arrayBuffer())]).toEqual([206, weights.subarray(0, 4)])
    // Of another repository: a digest alone opens nothing.
    expect((await call(`/v2/kjv/tiny/blobs/sha256:${sha256}`)).status).toBe(404)
  })
})

describe('the server', () => {
  test('logs a line for each request, without control characters', async () => {
    await rawGet(`${registry.url}/kjv/llama/resolve/main/config.json`, { range: 'bytes=0-1' })
    // The line is written when the answer has been sent, which the client may know first.
    await expect
      .poll(() => registry.log.at(-1))
      .toMatch(/^GET \/kjv\/llama\/resolve\/main\/config\.json \[bytes=0-1\] 206 \d+ B \d+ ms$/)
  })

  test('tells of a damaged blob and goes on', async () => {
    await using other = await runningRegistry()
    const source = await writeTinyGguf(other.folder, 'm.gguf')
    await other.publish({ source, name: 'kjv/tiny' })
    const digest = createHash('sha256')
      .update(await readFile(source))
      .digest('hex')
    await truncate(join(other.directory, 'blobs', 'sha256', digest), 10)
    const response = await fetch(`${other.url}/kjv/tiny/resolve/main/tiny-Q4_K_M.gguf`)
    expect([response.status, await response.json()]).toEqual([500, { error: 'The registry cannot answer: REGISTRY_CORRUPT' }])
    expect((await fetch(`${other.url}/api/models`)).status).toBe(200)
  })

  test('says that a port is taken', async () => {
    const port = Number(new URL(registry.url).port)
    await expect(startRegistry({ registry: registry.directory, port })).rejects.toMatchObject({ code: 'PORT_TAKEN' })
  })

  test('closes while a client holds its connection open', async () => {
    const server = await startRegistry({ registry: registry.directory, port: 0 })
    const response = await fetch(`${server.url}/kjv/llama/resolve/main/model.safetensors`)
    await server.close()
    await expect(fetch(server.url)).rejects.toThrow('fetch failed')
    await response.body?.cancel().catch(() => undefined)
  })
})

function rawGet(url: string, headers = {}): Promise<{ status: number; headers: Record<string, unknown> }> {
  const { hostname, port } = new URL(url)
  const path = url.slice(new URL(url).origin.length)
  return new Promise((resolve, reject) => {
    const request = get({ hostname, port, path, headers }, (response) => {
      response.resume()
      response.once('close', () => resolve({ status: response.statusCode ?? 0, headers: response.headers }))
    }).once('error', (error) => {
      // a server may close an idle connection just when it is taken again (RFC 9112, 9.3.1): so it does here where this process stood still
      // for longer than the server keeps one open
      if (request.reusedSocket) resolve(rawGet(url, headers))
      else reject(error)
    })
  })
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = []
  for await (const item of items) collected.push(item)
  return collected
}
