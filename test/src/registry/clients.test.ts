import { randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { downloadFile, uploadFile } from '@huggingface/hub'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openGguf } from '../../../formats/gguf/index.js'
import { createToken } from '../../../src/registry/index.js'
import { ask, digestOf, ociManifest, pushGguf } from '../../support/push.js'
import { runningRegistry, type TestRegistry } from '../../support/running-registry.js'
import { tinyGguf, writeTinyGguf } from '../../support/tiny-model.js'

let registry: TestRegistry
let token: string
const gguf = Buffer.from(tinyGguf({ value: 5 }))
const shards = [0, 1].map((index) => Buffer.from(tinyGguf({ value: 6 + index, shard: { index, count: 2 } })))

beforeAll(async () => {
  registry = await runningRegistry({ partBytes: 1 << 20 })
  token = (await createToken(registry.directory, { name: 'clients', write: true })).token
  await registry.publish({ source: await writeTinyGguf(registry.folder, 'one.gguf', { value: 5 }), name: 'kjv/one:Q4_K_M' })
  for (const [index, bytes] of shards.entries()) await writeFile(join(registry.folder, `s-0000${index + 1}-of-00002.gguf`), bytes)
  await registry.publish({ source: join(registry.folder, 's-00001-of-00002.gguf'), name: 'kjv/split:Q2_K' })
})

afterAll(async () => {
  await registry[Symbol.asyncDispose]()
})

const get = (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Response> =>
  ask(registry.url, path, { method, headers })
const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer())

interface Layers {
  readonly config: { readonly digest: string; readonly size: number; readonly mediaType: string }
  readonly layers: readonly { readonly mediaType: string; readonly digest: string; readonly size: number }[]
}

/** The requests of `ollama pull`, server/download.go: HEAD, a GET without a range for the address, then parts of it, without credentials. */
async function ollamaPull(name: string, tag: string): Promise<Map<string, Buffer>> {
  const agent = {
    'user-agent': 'ollama/0.12.3 (amd64 linux) Go/go1.24.1',
    accept: 'application/vnd.docker.distribution.manifest.v2+json',
  }
  const answer = await get(`/v2/${name}/manifests/${tag}`, agent)
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, agent.accept])
  const { config, layers } = (await answer.json()) as Layers
  expect(config.mediaType).toBe('application/vnd.docker.container.image.v1+json')
  const files = new Map<string, Buffer>()
  for (const { mediaType, digest, size } of [...layers, config]) {
    const path = `/v2/${name}/blobs/${digest}`
    expect((await get(path, agent, 'HEAD')).headers.get('content-length')).toBe(String(size))
    const whole = await get(path, agent)
    await whole.body?.cancel()
    const location = new URL(whole.headers.get('location') as string, registry.url).href
    const partBytes = Math.ceil(size / 16)
    const parts = Array.from({ length: Math.ceil(size / partBytes) }, async (_, index) => {
      const [start, end] = [index * partBytes, Math.min(size, (index + 1) * partBytes) - 1]
      const part = await get(location, { range: `bytes=${start}-${end}` })
      expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes ${start}-${end}/${size}`])
      return bytesOf(part)
    })
    const bytes = Buffer.concat(await Promise.all(parts))
    expect(digestOf(bytes)).toBe(digest)
    files.set(mediaType, bytes)
  }
  return files
}

describe('ollama', () => {
  test('pulls a model as one blob, with a configuration that names its types', async () => {
    const files = await ollamaPull('kjv/one', 'Q4_K_M')
    expect(files.get('application/vnd.ollama.image.model')).toEqual(gguf)
    const config = JSON.parse(String(files.get('application/vnd.docker.container.image.v1+json')))
    expect(config).toMatchObject({ model_format: 'gguf', model_family: 'llama', file_type: 'Q4_K_M' })
  })

  test.each(['published', 'pushed'])(
    'pulls a split model that was %s as one stream, which is a GGUF with all tensors',
    async (how) => {
      const name = how === 'published' ? 'kjv/split' : 'kjv/pushed-split'
      if (how === 'pushed') await pushGguf(registry.url, { name, tag: 'Q2_K', files: shards, token })
      const merged = (await ollamaPull(name, 'Q2_K')).get('application/vnd.ollama.image.model') as Buffer
      const path = join(registry.folder, `merged-${how}.gguf`)
      await writeFile(path, merged)
      const model = await openGguf(path)
      const values = model.tensors.map(({ name: tensor, start, end }) => {
        const [first] = new Float32Array(Uint8Array.from(merged.subarray(start, end)).buffer)
        return [tensor, (end - start) / 4, first]
      })
      expect([model.files.length, values]).toEqual([
        1,
        [
          ['t0.weight', 8, 6],
          ['t1.weight', 8, 7],
        ],
      ])
      expect(model.metadata.has('split.count')).toBe(false)
      await model.close()
      // Its digest is kept, for the next start of the server.
      expect((await readdir(join(registry.directory, 'merged'))).length).toBeGreaterThan(0)
    },
  )

  test('is told what it cannot run, and what is not there', async () => {
    const agent = { 'user-agent': 'ollama/0.12.3 (amd64 linux) Go/go1.24.1' }
    await registry.publish({ source: 'samples/llama-kjv', name: 'kjv/checkpoint' })
    const answer = await get('/v2/kjv/checkpoint/manifests/main', agent)
    expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining('holds no GGUF')])
    expect((await get('/v2/kjv/one/manifests/latest', agent)).status).toBe(404)
  })
})

describe("Docker's model runner", () => {
  test.each([
    ['kjv/one', 'Q4_K_M', [gguf]],
    ['kjv/split', 'Q2_K', shards],
  ])('pulls %s:%s: HEAD of the tag, GET by digest, one layer for each shard in order, resuming', async (name, tag, files) => {
    const accept = {
      accept: `application/vnd.oci.image.index.v1+json, ${ociManifest}`,
      'user-agent': 'docker-model-distribution',
    }
    const head = await get(`/v2/${name}/manifests/${tag}`, accept, 'HEAD')
    const digest = head.headers.get('docker-content-digest') as string
    expect([head.status, head.headers.get('content-type'), digest]).toEqual([200, ociManifest, expect.stringMatching(/^sha256:/)])
    const bytes = await bytesOf(await get(`/v2/${name}/manifests/${digest}`, accept))
    expect([digestOf(bytes), String(bytes.byteLength)]).toEqual([digest, head.headers.get('content-length')])
    const { config, layers } = JSON.parse(String(bytes)) as Layers
    expect(config.mediaType).toBe('application/vnd.docker.ai.model.config.v0.1+json')
    const weights = layers.filter(({ mediaType }) => mediaType === 'application/vnd.docker.ai.gguf.v3')
    const pulled = await Promise.all(
      weights.map(async (layer) => {
        const path = `/v2/${name}/blobs/${layer.digest}`
        const cut = (await bytesOf(await get(path))).subarray(0, 10)
        const rest = await get(path, { range: 'bytes=10-' })
        expect([rest.status, rest.headers.get('content-range')]).toEqual([206, `bytes 10-${layer.size - 1}/${layer.size}`])
        return Buffer.concat([cut, await bytesOf(rest)])
      }),
    )
    expect(pulled).toEqual(files)
    const { rootfs } = JSON.parse(String(await bytesOf(await get(`/v2/${name}/blobs/${config.digest}`)))) as {
      rootfs: { diff_ids: string[] }
    }
    expect(rootfs.diff_ids).toEqual(layers.map((layer) => layer.digest))
  })

  test('pushes under a bare name: HEAD, upload, manifest; and the file is there for others', async () => {
    const bytes = tinyGguf({ value: 9 })
    expect((await get(`/v2/bare/blobs/${digestOf(bytes)}`, {}, 'HEAD')).status).toBe(404)
    const { manifest, digest } = await pushGguf(registry.url, { name: 'bare', tag: 'latest', files: [bytes], token })
    expect(await bytesOf(await get(`/v2/bare/manifests/${digest}`))).toEqual(manifest)
    expect(await bytesOf(await get('/library/bare/resolve/main/bare-latest.gguf'))).toEqual(Buffer.from(bytes))
  })
})

describe('llama.cpp of before 2026', () => {
  const agent = { 'user-agent': 'llama-cpp', accept: 'application/json' }
  const fileOf = async (name: string, tag: string): Promise<unknown> => {
    const answer = await get(`/v2/${name}/manifests/${tag}`, agent)
    return answer.status === 200
      ? ((await answer.json()) as { ggufFile: { rfilename: string } }).ggufFile.rfilename
      : answer.status
  }

  test('reads ggufFile of a manifest, and fetches that file from main', async () => {
    expect(await fileOf('kjv/one', 'Q4_K_M')).toBe('one-Q4_K_M.gguf')
    expect(await fileOf('kjv/one', 'q4_k_m')).toBe('one-Q4_K_M.gguf')
    expect(await fileOf('kjv/one', 'latest')).toBe('one-Q4_K_M.gguf')
    expect(await fileOf('kjv/split', 'Q2_K')).toBe('split-Q2_K-00001-of-00002.gguf')
    expect(await bytesOf(await get('/kjv/one/resolve/main/one-Q4_K_M.gguf', agent))).toEqual(gguf)
    expect([await fileOf('kjv/one', 'Q8_0'), await fileOf('kjv/none', 'latest')]).toEqual([404, 404])
  })

  test('a tag that exists wins over a file whose name resembles it', async () => {
    const publish = async (tag: string, value: number): Promise<void> => {
      const source = await writeTinyGguf(registry.folder, `${tag}.gguf`, { value })
      await registry.publish({ source, name: `kjv/wins:${tag}` })
    }
    await publish('x-latest', 1)
    await publish('latest', 2)
    await publish('BF16', 3)
    expect(await fileOf('kjv/wins', 'latest')).toBe('wins-latest.gguf')
    // No tag F16: what resembles it is what llama.cpp itself would take.
    expect(await fileOf('kjv/wins', 'F16')).toBe('wins-BF16.gguf')
    await publish('F16', 4)
    expect(await fileOf('kjv/wins', 'F16')).toBe('wins-F16.gguf')
  })
})

describe('uploads in parts', () => {
  const batch = async (bytes: Buffer): Promise<{ href: string; header: Record<string, string> }> => {
    const oid = digestOf(bytes).slice('sha256:'.length)
    const body = JSON.stringify({
      operation: 'upload',
      transfers: ['basic', 'multipart'],
      objects: [{ oid, size: bytes.byteLength }],
    })
    const answer = await ask(registry.url, '/kjv/parts.git/info/lfs/objects/batch', { method: 'POST', body, token })
    const { objects } = (await answer.json()) as {
      objects: { actions: { upload: { href: string; header: Record<string, string> } } }[]
    }
    return (objects[0] as (typeof objects)[0]).actions.upload
  }
  const put = (href: string | undefined, body: Uint8Array): Promise<Response> => ask('', href ?? '', { method: 'PUT', body })

  test('@huggingface/hub uploads a large file so', async () => {
    const bytes = randomBytes((4 << 20) + 1234)
    const repo = { type: 'model', name: 'kjv/parts' } as const
    await uploadFile({ repo, hubUrl: registry.url, accessToken: token, file: { path: 'a.bin', content: new Blob([bytes]) } })
    expect(registry.log.filter((line) => /^PUT \/lfs\/kjv\/parts\/[0-9a-f]{64}\/parts\/\d/.test(line))).toHaveLength(5)
    const got = await downloadFile({ repo, hubUrl: registry.url, path: 'a.bin' })
    expect(bytes.equals(Buffer.from(await (got as Blob).arrayBuffer()))).toBe(true)
    // Signatures are as good as credentials while they last.
    expect(registry.log.join('\n')).not.toMatch(/signature=[0-9a-f]{8}/)
  })

  test('in any order, again, and not before the last one', async () => {
    const bytes = randomBytes(3 << 20)
    const { href, header } = await batch(bytes)
    const part = (number: number): Uint8Array => bytes.subarray((number - 1) << 20, number << 20)
    expect(header['chunk_size']).toBe(String(1 << 20))
    for (const number of [3, 1]) expect((await put(header[`0000${number}`], part(number))).headers.get('etag')).toMatch(/^".+"$/)
    expect((await ask('', href, { method: 'POST', body: '{}' })).status).toBe(400)
    expect((await put(header['00002'], part(2).subarray(1))).status).toBe(400)
    expect((await put(header['00001'], part(1))).status).toBe(200)
    expect((await put(header['00002'], part(2))).status).toBe(200)
    expect((await ask('', href, { method: 'POST', body: '{}' })).status).toBe(200)
    expect((await ask('', href, { method: 'POST', body: '{}' })).status).toBe(200)
    expect(bytes.equals(await readFile(join(registry.directory, 'blobs', 'sha256', digestOf(bytes).slice(7))))).toBe(true)
  })

  test('whose content is another leave nothing', async () => {
    const { href, header } = await batch(randomBytes(3 << 20))
    for (const number of [1, 2, 3]) await put(header[`0000${number}`], randomBytes(1 << 20))
    expect((await ask('', href, { method: 'POST', body: '{}' })).status).toBe(400)
    // Signed for one method alone.
    expect((await put(href, randomBytes(1))).status).not.toBe(200)
    expect((await readdir(join(registry.directory, 'tmp'))).filter((name) => name.endsWith('.upload'))).toEqual([])
  })
})
