import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { openGguf } from '../../../formats/gguf/index.js'
import { MqError } from '../../../src/errors/index.js'
import { finish } from '../../../src/progress/index.js'
import { createToken, type PublishedToTarget, publish, publishToTarget, startRegistry } from '../../../src/registry/index.js'
import { digestOf } from '../../support/push.js'
import { temporaryFolder, tinyGguf, writeTinyGguf } from '../../support/tiny-model.js'
import { exampleReport } from '../../support/verify-report.js'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let source: string
let shard: string
const gguf = Buffer.from(tinyGguf({ value: 4 }))
const hex = (bytes: Uint8Array): string => digestOf(bytes).slice('sha256:'.length)
const plan = {
  version: 1,
  architecture: 'llama',
  goal: '4.5 bits per weight',
  fileType: 15,
  calibration: 'sha256:abc',
  tensors: [{ name: 't0.weight', role: 'other', shape: [1, 8], type: 'F32' }],
}

beforeAll(async () => {
  folder = await temporaryFolder()
  source = await writeTinyGguf(folder.path, 'm.gguf', { value: 4 })
  const report = exampleReport({})
  await writeFile(`${source}.verify.json`, JSON.stringify({ ...report, files: [{ ...report.files[0], sha256: hex(gguf) }] }))
  await writeFile(`${source}.plan.json`, JSON.stringify(plan))
  for (const index of [0, 1])
    await writeTinyGguf(folder.path, `s-0000${index + 1}-of-00002.gguf`, { value: index, shard: { index, count: 2 } })
  shard = join(folder.path, 's-00001-of-00002.gguf')
})

afterAll(async () => {
  await folder[Symbol.asyncDispose]()
})

afterEach(() => {
  vi.unstubAllEnvs()
})

function publishTo(to: string, options: Partial<Parameters<typeof publishToTarget>[0]> = {}): Promise<PublishedToTarget> {
  return finish(publishToTarget({ source, name: 'kjv/tiny', to, ...options }))
}

/** What `sha256sum -c` checks. */
async function sumsOf(directory: string): Promise<string[]> {
  const lines = (await readFile(join(directory, 'SHA256SUMS'), 'utf8')).trimEnd().split('\n')
  for (const line of lines) {
    const [, sum = '', name = ''] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? []
    expect(hex(await readFile(join(directory, name)))).toBe(sum)
  }
  return lines.map((line) => line.slice(66))
}

describe('into a folder', () => {
  test('with card, sums, report and plan; again, and beside another tag', async () => {
    const out = join(folder.path, 'out')
    const published = await publishTo(out, { madeFrom: 'samples/llama-kjv' })
    expect(published.provenance).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      source: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      plan: digestOf(await readFile(`${source}.plan.json`)),
      calibration: 'sha256:abc',
      reference: `sha256:${'a'.repeat(64)}`,
    })
    expect(await readFile(join(out, 'tiny-Q4_K_M.gguf'))).toEqual(gguf)
    expect(await sumsOf(out)).toEqual(['tiny-Q4_K_M.gguf', 'tiny-Q4_K_M.gguf.plan.json', 'tiny-Q4_K_M.gguf.verify.json'])
    const card = await readFile(join(out, 'README.md'), 'utf8')
    for (const words of [
      'base_model: "llama-kjv"',
      'Types for 4.5 bits per weight',
      'mean KL divergence',
      hex(gguf),
      'llama-server -m tiny-Q4_K_M.gguf',
    ])
      expect(card).toContain(words)
    await publishTo(out, { name: 'kjv/tiny:other' })
    expect(await sumsOf(out)).toHaveLength(6)
    // A card of the user's own, and a file of another content, are left alone.
    await writeFile(join(out, 'README.md'), '# Mine')
    await publishTo(out)
    expect(await readFile(join(out, 'README.md'), 'utf8')).toBe('# Mine')
    await writeFile(join(out, 'tiny-Q4_K_M.gguf'), 'mine')
    await expect(publishTo(out)).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' })
    expect((await readdir(out)).filter((name) => name.endsWith('.partial'))).toEqual([])
  })

  test('the licence is that of the source, or the one that is given', async () => {
    const base = join(folder.path, 'base')
    await mkdir(base)
    for (const name of ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'])
      await writeFile(join(base, name), await readFile(join('samples/llama-kjv', name)).catch(() => Buffer.from('{}')))
    await writeFile(join(base, 'README.md'), '---\nlicense: cc0-1.0\nbase_model: who/what\n---\n')
    const out = join(folder.path, 'licensed')
    await publishTo(out, { madeFrom: base })
    const card = await readFile(join(out, 'README.md'), 'utf8')
    expect(card).toMatch(/^---\nlicense: "cc0-1.0"\nbase_model: "who\/what"\n/)
    await publishTo(out, { madeFrom: base, license: 'mit' })
    expect(await readFile(join(out, 'README.md'), 'utf8')).toContain('license: "mit"')
  })
})

describe('to programs by their folders', () => {
  test('LM Studio: publisher/model/file', async () => {
    const directory = join(folder.path, 'lmstudio')
    const { place } = await publishTo('lmstudio', { directory })
    expect(place).toBe(join(directory, 'kjv', 'tiny'))
    expect(await readFile(join(place, 'tiny-Q4_K_M.gguf'))).toEqual(gguf)
    vi.stubEnv('HOME', join(folder.path, 'nowhere'))
    await expect(publishTo('lmstudio')).rejects.toMatchObject({ code: 'TARGET_MISSING' })
  })

  test("text-generation-webui and llama-server's router: a folder for each model", async () => {
    for (const to of ['text-generation-webui', 'llama-server']) {
      const directory = join(folder.path, to)
      const { place } = await publishTo(to, { directory, source: shard, name: 'kjv/split:Q2_K' })
      expect(place).toBe(join(directory, 'split-Q2_K'))
      expect((await readdir(place)).filter((name) => name.endsWith('.gguf'))).toHaveLength(2)
    }
  })

  test("llama-server's presets: a section for each model, others kept", async () => {
    const directory = join(folder.path, 'presets', 'models.ini')
    await mkdir(join(folder.path, 'presets'))
    await writeFile(directory, 'version = 1\n\n[mine]\nmodel = /a.gguf\nc = 4096\n')
    for (let round = 0; round < 2; round++) await publishTo('llama-server', { directory })
    await publishTo('llama-server', { directory, name: 'kjv/tiny:b' })
    const path = (tag: string): string => join(folder.path, 'presets', `tiny-${tag}`, `tiny-${tag}.gguf`)
    expect(await readFile(directory, 'utf8')).toBe(
      `version = 1\n\n[mine]\nmodel = /a.gguf\nc = 4096\n\n[kjv/tiny:Q4_K_M]\nmodel = ${path('Q4_K_M')}\n\n[kjv/tiny:b]\nmodel = ${path('b')}\n`,
    )
  })

  test.each([
    ['one file', () => source],
    ['split', () => shard],
  ])("ollama's folder of models, %s: blobs under their digests, one layer", async (what, path) => {
    const directory = join(folder.path, `ollama-${what}`)
    await publishTo('ollama', { directory, source: path(), name: 'kjv/tiny:Q4' })
    const manifest = JSON.parse(
      await readFile(join(directory, 'manifests', 'registry.ollama.ai', 'kjv', 'tiny', 'Q4'), 'utf8'),
    ) as { config: { digest: string }; layers: { digest: string; size: number; mediaType: string }[] }
    for (const { digest } of [manifest.config, ...manifest.layers])
      expect(digestOf(await readFile(join(directory, 'blobs', digest.replace(':', '-'))))).toBe(digest)
    expect(manifest.layers).toMatchObject([{ mediaType: 'application/vnd.ollama.image.model' }])
    const copy = join(folder.path, `${what}.gguf`)
    await writeFile(copy, await readFile(join(directory, 'blobs', (manifest.layers[0]?.digest ?? '').replace(':', '-'))))
    const model = await openGguf(copy)
    await model.close()
    expect(model.tensors).toHaveLength(what === 'split' ? 2 : 1)
  })

  test("ollama's server: the file by its digest, then create; what it has is not sent again, what it refuses is said", async () => {
    const asked: string[] = []
    const blobs = new Map<string, Buffer>()
    // The requests that ollama documents (docs/api.md); it is not at hand to be run.
    const server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        asked.push(`${request.method} ${request.url?.slice(0, 15)}`)
        const digest = request.url?.split('/').at(-1) ?? ''
        const body = Buffer.concat(chunks)
        if (request.url === '/api/version') response.end('{"version":"0.12.3"}')
        else if (request.method === 'HEAD') response.writeHead(blobs.has(digest) ? 200 : 404).end()
        else if (request.url === '/api/create') {
          const { model, files } = JSON.parse(String(body)) as { model: string; files: Record<string, string> }
          const isThere = Object.values(files).every((file) => blobs.has(file))
          response.end(JSON.stringify(isThere && model !== 'kjv/tiny:bad' ? { status: 'success' } : { error: 'no such file' }))
        } else {
          const isRight = digestOf(body) === digest
          if (isRight) blobs.set(digest, body)
          response.writeHead(isRight ? 201 : 400).end()
        }
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    vi.stubEnv('OLLAMA_HOST', `127.0.0.1:${(server.address() as AddressInfo).port}`)
    try {
      for (let round = 0; round < 2; round++) await publishTo('ollama', { name: 'kjv/tiny:Q4' })
      await publishTo('ollama', { source: shard, name: 'kjv/split:Q4' })
      expect(asked).toEqual([
        'GET /api/version',
        'HEAD /api/blobs/sha2',
        'POST /api/blobs/sha2',
        'POST /api/create',
        'GET /api/version',
        'HEAD /api/blobs/sha2',
        'POST /api/create',
        'GET /api/version',
        'HEAD /api/blobs/sha2',
        'POST /api/blobs/sha2',
        'POST /api/create',
      ])
      expect(blobs.get(digestOf(gguf))).toEqual(gguf)
      await expect(publishTo('ollama', { name: 'kjv/tiny:bad' })).rejects.toMatchObject({ code: 'TARGET_REFUSED' })
    } finally {
      server.close()
      server.closeAllConnections()
    }
    vi.stubEnv('OLLAMA_HOST', '127.0.0.1:1')
    vi.stubEnv('OLLAMA_MODELS', join(folder.path, 'none'))
    await expect(publishTo('ollama')).rejects.toMatchObject({ code: 'TARGET_MISSING' })
  })
})

describe('to a hub', () => {
  test('uploads model, card, sums and report in one commit; keeps a card of the user; names what is refused', async () => {
    const registry = join(folder.path, 'hub')
    const server = await startRegistry({ registry, port: 0 })
    const { token } = await createToken(registry, { name: 'me', write: true, namespaces: ['me'] })
    vi.stubEnv('HF_ENDPOINT', server.url)
    vi.stubEnv('HF_TOKEN', token)
    try {
      const get = async (path: string): Promise<Buffer> =>
        Buffer.from(await (await fetch(`${server.url}/me/up/resolve/main/${path}`)).arrayBuffer())
      const { files } = await publishTo('hf:me/up')
      expect(await get('tiny-Q4_K_M.gguf')).toEqual(gguf)
      expect(String(await get('README.md'))).toContain('Generated by mq')
      expect(String(await get('SHA256SUMS'))).toContain(`${hex(gguf)}  tiny-Q4_K_M.gguf`)
      expect([...files].toSorted()).toEqual(
        ['README.md', 'SHA256SUMS', 'tiny-Q4_K_M.gguf', 'tiny-Q4_K_M.gguf.plan.json', 'tiny-Q4_K_M.gguf.verify.json'].toSorted(),
      )
      const refused = await publishTo('hf:other/up').catch((error: unknown) => MqError.from(error))
      expect(refused).toMatchObject({ code: 'TARGET_REFUSED' })
      expect(JSON.stringify(refused)).not.toContain(token)
      vi.stubEnv('HF_TOKEN', '')
      vi.stubEnv('HF_HOME', folder.path)
      await expect(publishTo('hf:me/up')).rejects.toThrow(/there is no token/)
    } finally {
      await server.close()
    }
  })
})

describe('before anything is published', () => {
  test('a target that is none, a report of another file, and a model that does not load are refused', async () => {
    await expect(publishTo('nowhere')).rejects.toMatchObject({ code: 'OPTION_INVALID' })
    const out = join(folder.path, 'refused')
    const other = await writeTinyGguf(folder.path, 'other.gguf', { value: 77 })
    await expect(publishTo(out, { source: other, report: `${source}.verify.json` })).rejects.toMatchObject({
      code: 'REPORT_MISMATCH',
    })
    await expect(publishTo(out, { check: true })).rejects.toMatchObject({ code: 'MODEL_REJECTED' })
    await expect(finish(publish({ source, name: 'kjv/x', registry: out, check: true }))).rejects.toMatchObject({
      code: 'MODEL_REJECTED',
    })
    await expect(readdir(out)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('the registry notes what a model was made of, too', async () => {
    const registry = join(folder.path, 'registry')
    const { digest, files } = await finish(publish({ source, name: 'kjv/noted', registry, madeFrom: source }))
    expect(files.map(({ path }) => path)).toEqual([
      'noted-Q4_K_M.gguf',
      'noted-Q4_K_M.gguf.verify.json',
      'noted-Q4_K_M.gguf.plan.json',
    ])
    const bytes = await readFile(join(registry, 'blobs', 'sha256', digest.slice(7)))
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(digest.slice(7))
    expect(JSON.parse(String(bytes)).annotations).toMatchObject({
      'mq.source': digestOf(gguf),
      'mq.calibration': 'sha256:abc',
      'mq.version': expect.any(String),
    })
  })
})
