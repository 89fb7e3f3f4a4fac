import { randomBytes } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { gguf } from '@huggingface/gguf'
import { commit, createRepo, downloadFile, listFiles, uploadFiles } from '@huggingface/hub'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { urlSigner } from '../../../src/registry/access/index.js'
import { createToken, findLocalModel, listRegistry, listTokens, removeToken } from '../../../src/registry/index.js'
import { openStore } from '../../../src/registry/store/index.js'
import { digestOf } from '../../support/push.js'
import { runningRegistry, type TestRegistry } from '../../support/running-registry.js'
import { tinyGguf } from '../../support/tiny-model.js'

let registry: TestRegistry
let token: string

beforeAll(async () => {
  registry = await runningRegistry()
  token = (await createToken(registry.directory, { name: 'all', write: true })).token
})

afterAll(async () => {
  await registry[Symbol.asyncDispose]()
})

const ociManifest = 'application/vnd.oci.image.manifest.v1+json'

interface Sent {
  readonly method?: string
  readonly body?: Uint8Array | string
  readonly headers?: Record<string, string>
  readonly as?: string | null
}

/** With the token, unless `as` says another, or none. */
function call(path: string, { method = 'GET', body, headers = {}, as = token }: Sent = {}): Promise<Response> {
  const address = path.startsWith('http') ? path : `${registry.url}${path}`
  const authorization: Record<string, string> = as === null ? {} : { authorization: `Bearer ${as}` }
  return fetch(address, {
    method,
    ...(body !== undefined && { body: body as string }),
    headers: { ...authorization, ...headers },
  })
}

async function pushBlob(name: string, bytes: Uint8Array): Promise<string> {
  const begun = await call(`/v2/${name}/blobs/uploads/`, { method: 'POST' })
  const location = begun.headers.get('location') as string
  const response = await call(`${location}?digest=${digestOf(bytes)}`, { method: 'PUT', body: bytes })
  expect(response.status).toBe(201)
  return digestOf(bytes)
}

async function pushModel(
  name: string,
  tag: string,
  gguf: Uint8Array,
  extra: object = {},
): Promise<{ manifest: Buffer; digest: string }> {
  const config = Buffer.from('{"config":{"format":"gguf"}}')
  await pushBlob(name, config)
  await pushBlob(name, gguf)
  const layer = { mediaType: 'application/vnd.docker.ai.gguf.v3', digest: digestOf(gguf), size: gguf.byteLength }
  const configType = 'application/vnd.docker.ai.model.config.v0.1+json'
  const whole = {
    schemaVersion: 2,
    mediaType: ociManifest,
    config: { mediaType: configType, digest: digestOf(config), size: config.byteLength },
    layers: [layer],
    ...extra,
  }
  const manifest = Buffer.from(JSON.stringify(whole, undefined, 3))
  const put = await call(`/v2/${name}/manifests/${tag}`, {
    method: 'PUT',
    body: manifest,
    headers: { 'content-type': ociManifest },
  })
  expect([put.status, put.headers.get('docker-content-digest')]).toEqual([201, digestOf(manifest)])
  return { manifest, digest: digestOf(manifest) }
}

describe('pushing by the OCI distribution specification', () => {
  test('whole: the manifest comes back byte for byte, and Hugging Face clients find the file', async () => {
    const gguf = Buffer.from(tinyGguf({ value: 11 }))
    const { manifest, digest } = await pushModel('kjv/pushed', 'Q4_K_M', gguf)
    for (const reference of ['Q4_K_M', digest]) {
      const got = await call(`/v2/kjv/pushed/manifests/${reference}`, { as: null })
      expect(Buffer.from(await got.arrayBuffer())).toEqual(manifest)
    }
    const file = await call('/kjv/pushed/resolve/main/pushed-Q4_K_M.gguf', { as: null })
    expect(Buffer.from(await file.arrayBuffer())).toEqual(gguf)
    expect(await findLocalModel('kjv/pushed:Q4_K_M', registry.directory)).toMatch(digestOf(gguf).slice(7))
    expect((await listRegistry(registry.directory)).damaged).toEqual([])
  })

  test('in chunks, in order alone', async () => {
    const bytes = randomBytes(300_000)
    const begun = await call('/v2/kjv/chunks/blobs/uploads/', { method: 'POST' })
    const location = begun.headers.get('location') as string
    expect([begun.status, location.startsWith(registry.url)]).toEqual([202, true])
    const patch = (start: number, end: number): Promise<Response> =>
      call(location, { method: 'PATCH', body: bytes.subarray(start, end), headers: { 'content-range': `${start}-${end - 1}` } })
    expect((await patch(0, 100_000)).headers.get('range')).toBe('0-99999')
    const wrong = await patch(150_000, 200_000)
    expect([wrong.status, wrong.headers.get('range')]).toEqual([416, '0-99999'])
    expect((await call(location)).headers.get('range')).toBe('0-99999')
    expect((await patch(100_000, 250_000)).status).toBe(202)
    const put = await call(`${location}?digest=${digestOf(bytes)}`, { method: 'PUT', body: bytes.subarray(250_000) })
    expect(put.status).toBe(201)
    expect((await call(location)).status).toBe(404)
  })

  test('in one POST, and by mounting from another repository', async () => {
    const bytes = Buffer.from(tinyGguf({ value: 12 }))
    const posted = await call(`/v2/kjv/single/blobs/uploads/?digest=${digestOf(bytes)}`, { method: 'POST', body: bytes })
    expect(posted.status).toBe(201)
    await pushModel('kjv/single', 'one', bytes)
    const mount = `/v2/kjv/mounted/blobs/uploads/?mount=${digestOf(bytes)}&from=kjv/single`
    expect((await call(mount, { method: 'POST' })).status).toBe(201)
    const absent = `/v2/kjv/mounted/blobs/uploads/?mount=${digestOf(randomBytes(4))}&from=kjv/single`
    expect((await call(absent, { method: 'POST' })).status).toBe(202)
  })

  test('names without a namespace are of library', async () => {
    await pushModel('bare', 'latest', tinyGguf({ value: 13 }))
    expect((await call('/v2/library/bare/manifests/latest')).status).toBe(200)
    expect((await call('/v2/bare/tags/list')).status).toBe(200)
  })

  test('tags, catalog and referrers are listed, by pages', async () => {
    const { digest } = await pushModel('kjv/listed', 'a', tinyGguf({ value: 14 }))
    for (const tag of ['b', 'c']) await pushModel('kjv/listed', tag, tinyGguf({ value: 14 }))
    const tags = async (query: string): Promise<[unknown, string | null]> => {
      const response = await call(`/v2/kjv/listed/tags/list${query}`)
      return [((await response.json()) as { tags: string[] }).tags, response.headers.get('link')]
    }
    expect(await tags('')).toEqual([['a', 'b', 'c'], null])
    expect(await tags('?n=0')).toEqual([[], null])
    expect(await tags('?n=2')).toEqual([['a', 'b'], '</v2/kjv/listed/tags/list?n=2&last=b>; rel="next"'])
    expect(await tags('?n=2&last=b')).toEqual([['c'], null])
    const catalog = (await (await call('/v2/_catalog?n=1')).json()) as { repositories: string[] }
    expect(catalog.repositories).toHaveLength(1)
    const subject = { mediaType: ociManifest, digest, size: 1 }
    const referring = await pushModel('kjv/listed', 'sig', tinyGguf({ value: 15 }), {
      subject,
      artifactType: 'application/x.signature',
    })
    const list = async (query: string): Promise<unknown[]> => {
      const response = await call(`/v2/kjv/listed/referrers/${digest}${query}`)
      expect(response.headers.get('content-type')).toBe('application/vnd.oci.image.index.v1+json')
      return ((await response.json()) as { manifests: unknown[] }).manifests
    }
    expect(await list('')).toMatchObject([{ digest: referring.digest, artifactType: 'application/x.signature' }])
    expect(await list('?artifactType=application/x.other')).toEqual([])
    expect(await (await call(`/v2/kjv/listed/referrers/${digestOf(randomBytes(1))}`)).json()).toMatchObject({ manifests: [] })
  })

  test('tags and manifests are deleted, what is not there is not found', async () => {
    const { digest } = await pushModel('kjv/deleted', 'one', tinyGguf({ value: 16 }))
    await pushModel('kjv/deleted', 'two', tinyGguf({ value: 16 }))
    expect((await call('/v2/kjv/deleted/manifests/one', { method: 'DELETE' })).status).toBe(202)
    expect((await call('/v2/kjv/deleted/manifests/one')).status).toBe(404)
    expect((await call(`/v2/kjv/deleted/manifests/${digest}`, { method: 'DELETE' })).status).toBe(202)
    expect((await call('/v2/kjv/deleted/manifests/two')).status).toBe(404)
    expect((await call(`/v2/kjv/deleted/manifests/${digest}`, { method: 'DELETE' })).status).toBe(404)
  })

  test('ollama gets the same blob under its own media types', async () => {
    const gguf = Buffer.from(tinyGguf({ value: 17 }))
    await pushModel('kjv/llm', 'Q8_0', gguf)
    const headers = { 'user-agent': 'ollama/0.12.0 (amd64 linux) Go/go1.24' }
    const response = await call('/v2/kjv/llm/manifests/Q8_0', { headers, as: null })
    const manifest = (await response.json()) as { config: { digest: string; size: number }; layers: object[] }
    expect(manifest.layers).toEqual([
      { mediaType: 'application/vnd.ollama.image.model', digest: digestOf(gguf), size: gguf.byteLength },
    ])
    const config = Buffer.from(
      await (await call(`/v2/kjv/llm/blobs/${manifest.config.digest}`, { headers, as: null })).arrayBuffer(),
    )
    expect([digestOf(config), config.byteLength]).toEqual([manifest.config.digest, manifest.config.size])
    const whole = await call(`/v2/kjv/llm/blobs/${digestOf(gguf)}`, { headers, as: null })
    expect([whole.status, whole.headers.get('location')]).toEqual([200, `/v2/kjv/llm/blobs/${digestOf(gguf)}`])
    const part = await call(whole.headers.get('location') as string, { headers: { range: 'bytes=0-3' }, as: null })
    expect([part.status, Buffer.from(await part.arrayBuffer()).toString()]).toEqual([206, 'GGUF'])
  })
})

describe('@huggingface/hub', () => {
  const repo = { type: 'model', name: 'kjv/uploaded' } as const

  test('makes a repository, uploads, changes and deletes files', async () => {
    const hub = { hubUrl: registry.url, accessToken: token }
    await createRepo({ repo, ...hub })
    const model = tinyGguf({ value: 21 })
    const large = randomBytes(200_000)
    await uploadFiles({
      repo,
      ...hub,
      files: [
        { path: 'README.md', content: new Blob(['# A model']) },
        { path: 'model-Q4_K_M.gguf', content: new Blob([model]) },
        { path: 'sub/large.bin', content: new Blob([large]) },
      ],
    })
    const listed: string[] = []
    for await (const { path, type } of listFiles({ repo, hubUrl: registry.url, recursive: true }))
      if (type === 'file') listed.push(path)
    expect(listed.sort()).toEqual(['README.md', 'model-Q4_K_M.gguf', 'sub/large.bin'])
    const got = await downloadFile({ repo, path: 'sub/large.bin', hubUrl: registry.url })
    expect(Buffer.from(await (got as Blob).arrayBuffer())).toEqual(large)
    await commit({ repo, ...hub, title: 'x', operations: [{ operation: 'delete', path: 'sub/large.bin' }] })
    expect(await downloadFile({ repo, path: 'sub/large.bin', hubUrl: registry.url })).toBeNull()
    expect(Buffer.from(await readFile((await findLocalModel('kjv/uploaded', registry.directory)) as string))).toEqual(
      Buffer.from(model),
    )
  })

  test('is told that a repository is there, and that a token is needed', async () => {
    const hubUrl = registry.url
    await expect(createRepo({ repo, hubUrl, accessToken: token })).rejects.toMatchObject({ statusCode: 409 })
    const other = `hf_${'x'.repeat(40)}`
    await expect(createRepo({ repo: { ...repo, name: 'kjv/no' }, hubUrl, accessToken: other })).rejects.toMatchObject({
      statusCode: 401,
    })
  })

  test('many uploads into one repository at once lose nothing', async () => {
    const many = { type: 'model', name: 'kjv/many' } as const
    const hub = { hubUrl: registry.url, accessToken: token }
    await Promise.all(
      Array.from({ length: 4 }, (_, index) =>
        uploadFiles({ repo: many, ...hub, files: [{ path: `f${index}.txt`, content: new Blob([String(index)]) }] }),
      ),
    )
    const listed: string[] = []
    for await (const { path } of listFiles({ repo: many, hubUrl: registry.url })) listed.push(path)
    expect(listed.sort()).toEqual(['f0.txt', 'f1.txt', 'f2.txt', 'f3.txt'])
  })
})

describe('@huggingface/gguf', () => {
  test('reads the header of a model from afar', async () => {
    const { metadata, tensorInfos } = await gguf(`${registry.url}/kjv/pushed/resolve/main/pushed-Q4_K_M.gguf`)
    expect([metadata['general.architecture'], tensorInfos.map(({ name }) => name)]).toEqual(['llama', ['t0.weight']])
  })
})

describe('what is refused, and writes nothing', () => {
  const bytes = Buffer.from('content')
  const digest = digestOf(bytes)

  async function state(): Promise<unknown> {
    const blobs = await readdir(join(registry.directory, 'blobs', 'sha256'))
    const left = (await readdir(join(registry.directory, 'tmp'))).filter((name) => name.endsWith('.upload'))
    return [blobs.length, left.length, (await listRegistry(registry.directory)).models.length]
  }

  async function raw(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<number> {
    const { hostname, port } = new URL(registry.url)
    return new Promise((resolve, reject) => {
      request({ hostname, port, path, headers, method }, (response) => {
        response.resume()
        resolve(response.statusCode ?? 0)
      })
        .once('error', reject)
        .end()
    })
  }

  test.each<[string, number, () => Promise<number>]>([
    ['a write without a token', 401, async () => (await call('/v2/kjv/x/blobs/uploads/', { method: 'POST', as: null })).status],
    ['a token that is none', 401, async () => (await call('/v2/kjv/x/blobs/uploads/', { method: 'POST', as: 'hf_none' })).status],
    [
      'a commit without a token',
      401,
      async () => (await call('/api/models/kjv/x/commit/main', { method: 'POST', body: '', as: null })).status,
    ],
    [
      'a token of another namespace',
      403,
      async () => {
        const { token: own } = await createToken(registry.directory, { name: 'own', write: true, namespaces: ['mine'] })
        return (await call('/v2/kjv/x/blobs/uploads/', { method: 'POST', as: own })).status
      },
    ],
    [
      'a token that may only read',
      403,
      async () => {
        const { token: own } = await createToken(registry.directory, { name: 'reader', write: false })
        return (await call('/api/repos/create', { method: 'POST', body: JSON.stringify({ name: 'kjv/x' }), as: own })).status
      },
    ],
    [
      'a token that has expired',
      401,
      async () => {
        const { token: own } = await createToken(registry.directory, { name: 'old', write: true, days: -1 })
        return (await call('/v2/kjv/x/blobs/uploads/', { method: 'POST', as: own })).status
      },
    ],
    [
      'a token that was revoked',
      401,
      async () => {
        const { token: own, info } = await createToken(registry.directory, { name: 'gone', write: true })
        await removeToken(registry.directory, info.id)
        return (await call('/v2/kjv/x/blobs/uploads/', { method: 'POST', as: own })).status
      },
    ],
    [
      'a digest that lies',
      400,
      async () =>
        (await call(`/v2/kjv/x/blobs/uploads/?digest=${digestOf(Buffer.from('other'))}`, { method: 'POST', body: bytes })).status,
    ],
    [
      'a digest that is a path',
      400,
      async () => (await call('/v2/kjv/x/blobs/uploads/?digest=sha256:../../x', { method: 'POST', body: bytes })).status,
    ],
    ['a name that leads out', 400, () => raw('/v2/..%2f..%2fetc/x/blobs/uploads/', { authorization: `Bearer ${token}` }, 'POST')],
    [
      'a tag that leads out',
      404,
      async () =>
        (
          await call('/v2/kjv/x/manifests/..%2f..', {
            method: 'PUT',
            body: '{"schemaVersion":2,"config":{},"layers":[]}',
            headers: { 'content-type': ociManifest },
          })
        ).status,
    ],
    [
      'a manifest whose blobs are not there',
      404,
      async () => {
        const pointer = { mediaType: 'x/y', digest: digestOf(Buffer.from('nowhere')), size: 7 }
        const body = JSON.stringify({ schemaVersion: 2, config: pointer, layers: [] })
        return (await call('/v2/kjv/x/manifests/a', { method: 'PUT', body, headers: { 'content-type': ociManifest } })).status
      },
    ],
    [
      'a manifest that is none',
      400,
      async () =>
        (await call('/v2/kjv/x/manifests/a', { method: 'PUT', body: '[]', headers: { 'content-type': ociManifest } })).status,
    ],
    [
      'a manifest that is too large',
      413,
      async () =>
        (
          await call('/v2/kjv/x/manifests/a', {
            method: 'PUT',
            body: Buffer.alloc(5 << 20),
            headers: { 'content-type': ociManifest },
          })
        ).status,
    ],
    [
      'a commit that leads out',
      400,
      async () => {
        const line = { key: 'file', value: { path: '../../escaped', content: 'eA==', encoding: 'base64' } }
        return (await call('/api/models/kjv/x/commit/main', { method: 'POST', body: JSON.stringify(line) })).status
      },
    ],
    [
      'a commit of content that was not uploaded',
      400,
      async () => {
        const line = { key: 'lfsFile', value: { path: 'a.bin', algo: 'sha256', oid: 'a'.repeat(64), size: 4 } }
        return (await call('/api/models/kjv/x/commit/main', { method: 'POST', body: JSON.stringify(line) })).status
      },
    ],
    [
      'an address that nobody signed',
      403,
      async () =>
        (
          await call(`/lfs/kjv/x/${digest.slice(7)}?size=7&expires=9999999999&signature=${'0'.repeat(64)}`, {
            method: 'PUT',
            body: bytes,
            as: null,
          })
        ).status,
    ],
    [
      'an address whose time is over',
      403,
      async () => {
        const old = await urlSigner(openStore(registry.directory), () => Date.now() - 7 * 3_600_000)
        return (await call(old.sign('PUT', `/lfs/kjv/x/${digest.slice(7)}?size=7`), { method: 'PUT', body: bytes, as: null }))
          .status
      },
    ],
    [
      'an address of another method',
      403,
      async () => {
        const signer = await urlSigner(openStore(registry.directory))
        return (await call(signer.sign('GET', `/lfs/kjv/x/${digest.slice(7)}?size=7`), { method: 'PUT', body: bytes, as: null }))
          .status
      },
    ],
    ['a Host that is not ours', 403, () => raw('/api/models', { host: 'evil.example' })],
    ['a Host that begins like ours', 403, () => raw('/api/models', { host: '127.0.0.1.evil.example:80' })],
    ['a method that is not offered', 405, async () => (await call('/v2/kjv/x/tags/list', { method: 'DELETE' })).status],
    [
      'a method that is not offered for files',
      405,
      async () => (await call('/kjv/uploaded/resolve/main/README.md', { method: 'PUT', body: 'x' })).status,
    ],
  ])('%s: %i', async (_, status, attempt) => {
    const before = await state()
    expect(await attempt()).toBe(status)
    expect(await state()).toEqual(before)
  })

  test('a signed address is good for its own content, once', async () => {
    const content = randomBytes(1000)
    const oid = digestOf(content).slice('sha256:'.length)
    const body = JSON.stringify({ operation: 'upload', objects: [{ oid, size: 1000 }] })
    const batch = await call('/kjv/signed.git/info/lfs/objects/batch', { method: 'POST', body })
    const { objects } = (await batch.json()) as { objects: { actions?: { upload: { href: string } } }[] }
    const href = objects[0]?.actions?.upload.href as string
    expect((await call(href, { method: 'PUT', body: randomBytes(1000), as: null })).status).toBe(400)
    expect((await call(href.replace('size=1000', 'size=2000'), { method: 'PUT', body: content, as: null })).status).toBe(403)
    expect((await call(href, { method: 'PUT', body: content, as: null })).status).toBe(200)
    const again = await call('/kjv/signed.git/info/lfs/objects/batch', { method: 'POST', body })
    expect(await again.json()).toMatchObject({ transfer: 'basic', objects: [{ oid, size: 1000 }] })
  })

  test('no token stands anywhere on disk, and each write in the audit log', async () => {
    const tokens = await readFile(join(registry.directory, 'tokens.json'), 'utf8')
    const audit = await readFile(join(registry.directory, 'audit.log'), 'utf8')
    for (const text of [tokens, audit, JSON.stringify(await listTokens(registry.directory)), registry.log.join('\n')]) {
      expect(text).not.toContain(token)
    }
    if (process.platform !== 'win32') expect((await stat(join(registry.directory, 'tokens.json'))).mode & 0o077).toBe(0)
    expect(audit).toMatch(/"method":"PUT","path":"\/v2\/kjv\/pushed\/manifests\/Q4_K_M","status":201/)
    expect(audit).toMatch(/"token":null,"method":"POST","path":"\/v2\/kjv\/x\/blobs\/uploads","status":401/)
  })
})
