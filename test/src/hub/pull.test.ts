import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Pulled, type PullOptions, pullGguf, pullRepository } from '../../../src/hub/index.js'
import { finish } from '../../../src/progress/index.js'
import { cuttingProxy, type Spoil } from '../../support/cutting-proxy.js'
import { runningRegistry, type TestRegistry } from '../../support/running-registry.js'
import { temporaryFolder, tinyReport, writeTinyGguf } from '../../support/tiny-model.js'

const sample = 'samples/llama-kjv'
const isWeights = (path: string): boolean => path.endsWith('/model.safetensors')

let registry: TestRegistry
let weights: Buffer

beforeAll(async () => {
  registry = await runningRegistry()
  weights = await readFile(join(sample, 'model.safetensors'))
  await registry.publish({ source: sample, name: 'kjv/llama' })
  for (const [index, tag] of ['F16', 'Q4_K_M', 'Q8_0'].entries()) {
    const source = await writeTinyGguf(registry.folder, `${tag}.gguf`, { value: index })
    await registry.publish({ source, name: `kjv/tiny:${tag}` })
  }
  for (const index of [0, 1]) {
    await writeTinyGguf(registry.folder, `s-0000${index + 1}-of-00002.gguf`, { value: index, shard: { index, count: 2 } })
  }
  await registry.publish({ source: join(registry.folder, 's-00001-of-00002.gguf'), name: 'kjv/split:Q2_K' })
})

afterAll(async () => {
  await registry[Symbol.asyncDispose]()
})

function pull(options: Partial<PullOptions> & { directory: string }): Promise<Pulled> {
  return finish(pullRepository({ repo: 'kjv/llama', endpoint: registry.url, pauseMs: 1, ...options }))
}

describe('pulling a checkpoint', () => {
  test('brings all files, and nothing a second time', async () => {
    await using folder = await temporaryFolder()
    const first = await pull({ directory: folder.path })
    expect(first).toMatchObject({ directory: folder.path, skipped: 0, commit: expect.stringMatching(/^[0-9a-f]{40}$/) })
    for (const path of await readdir(sample)) {
      expect(await same(join(folder.path, path), join(sample, path)), path).toBe(true)
    }
    expect(await readdir(folder.path)).toHaveLength((await readdir(sample)).length)
    expect(await pull({ directory: folder.path })).toMatchObject({ bytes: 0, skipped: first.files.length })
  })

  test('fetches again what is there with other content', async () => {
    await using folder = await temporaryFolder()
    await pull({ directory: folder.path })
    await writeFile(join(folder.path, 'model.safetensors'), Buffer.alloc(weights.byteLength))
    await pull({ directory: folder.path })
    expect(await same(join(folder.path, 'model.safetensors'), join(sample, 'model.safetensors'))).toBe(true)
  })

  test('says how far it is, in bytes', async () => {
    await using folder = await temporaryFolder()
    const seen: number[] = []
    const work = pullRepository({ repo: 'kjv/llama', endpoint: registry.url, directory: folder.path })
    await finish(work, ({ done, total, unit }) => {
      expect(unit).toBe('bytes')
      seen.push(done / total)
    })
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
    expect(seen.at(-1)).toBe(1)
  })

  test.each([
    [['*.json'], 4],
    [['config.json', 'model.*'], 2],
  ])('takes the files that %j names', async (include, count) => {
    await using folder = await temporaryFolder()
    expect((await pull({ directory: folder.path, include })).files).toHaveLength(count)
  })

  test.each([
    [{ repo: 'kjv/none' }, 'REPO_MISSING'],
    [{ repo: 'kjv/llama@none' }, 'REPO_MISSING'],
    [{ repo: 'kjv/llama:Q4_0' }, 'MODEL_NOT_FOUND'],
    [{ repo: '../llama' }, 'NAME_INVALID'],
    [{ include: ['*.onnx'] }, 'OPTION_INVALID'],
    [{ endpoint: 'file:///etc' }, 'OPTION_INVALID'],
    // Nobody listens; a port that fetch never goes to.
    [{ endpoint: 'http://127.0.0.1:10' }, 'NETWORK'],
    [{ endpoint: 'http://127.0.0.1:1' }, 'NETWORK'],
  ])('%j is %s', async (options, code) => {
    await using folder = await temporaryFolder()
    await expect(pull({ directory: folder.path, ...options })).rejects.toMatchObject({ code })
    expect(await readdir(folder.path)).toEqual([])
  })
})

describe('a poor connection', () => {
  async function through(
    spoil: (path: string, count: number) => Spoil,
    act: (directory: string, endpoint: string) => Promise<void>,
  ) {
    await using folder = await temporaryFolder()
    await using proxy = await cuttingProxy(registry.url, spoil)
    await act(folder.path, proxy.url)
    return proxy.requests.filter(({ path }) => isWeights(path)).map(({ range }) => range)
  }

  test('that is cut goes on where it stopped', async () => {
    const cuts = [1_000_000, 2_000_000, 3_000_000]
    const ranges = await through(
      (path, count) => (isWeights(path) && count < cuts.length ? { cutAfter: cuts[count] as number } : undefined),
      async (directory, endpoint) => {
        await pull({ directory, endpoint })
        expect(await same(join(directory, 'model.safetensors'), join(sample, 'model.safetensors'))).toBe(true)
      },
    )
    // A cut may take bytes with it that were sent but not yet received.
    const starts = ranges.map((range) => Number(range?.match(/^bytes=(\d+)-$/)?.[1] ?? 0))
    expect(starts).toHaveLength(cuts.length + 1)
    expect(new Set(starts).size).toBe(starts.length)
    expect(starts).toEqual(starts.toSorted((a, b) => a - b))
  })

  test('that is interrupted leaves .partial, from which the next run goes on', async () => {
    let left = 0
    const ranges = await through(
      () => undefined,
      async (directory, endpoint) => {
        const stop = new AbortController()
        const work = pullRepository({ repo: 'kjv/llama', endpoint, directory, signal: stop.signal })
        await expect(finish(work, ({ done }) => done > 1_000_000 && stop.abort())).rejects.toThrow(/abort/)
        left = (await stat(join(directory, 'model.safetensors.partial'))).size
        expect((await readdir(directory)).filter((name) => name === 'model.safetensors')).toEqual([])
        await pull({ directory, endpoint })
        expect(await same(join(directory, 'model.safetensors'), join(sample, 'model.safetensors'))).toBe(true)
        expect((await readdir(directory)).filter((name) => name.endsWith('.partial'))).toEqual([])
      },
    )
    expect(left).toBeGreaterThan(0)
    expect(ranges).toEqual([undefined, `bytes=${left}-`])
  })

  test('to an overloaded server waits and tries again', async () => {
    await through(
      (_, count) => (count < 2 ? { status: count === 0 ? 503 : 429, headers: { 'retry-after': '0' } } : undefined),
      async (directory, endpoint) => {
        expect(await pull({ directory, endpoint })).toMatchObject({ skipped: 0 })
      },
    )
  })

  test('to a server that stays overloaded ends with NETWORK', async () => {
    await through(
      (path) => (isWeights(path) ? { status: 500 } : undefined),
      async (directory, endpoint) => {
        await expect(pull({ directory, endpoint })).rejects.toMatchObject({ code: 'NETWORK', exit: 6 })
      },
    )
  })

  test('to a server without ranges begins again', async () => {
    await through(
      (path, count) => (isWeights(path) ? (count === 0 ? { cutAfter: 3_000_000 } : { withoutRange: true }) : undefined),
      async (directory, endpoint) => {
        await pull({ directory, endpoint })
        expect(await same(join(directory, 'model.safetensors'), join(sample, 'model.safetensors'))).toBe(true)
      },
    )
  })

  test('that changes a byte ends with DOWNLOAD_CORRUPT, and nothing of the file remains', async () => {
    await through(
      (path) => (isWeights(path) ? { flipAt: 4_000_000 } : undefined),
      async (directory, endpoint) => {
        await expect(pull({ directory, endpoint })).rejects.toMatchObject({ code: 'DOWNLOAD_CORRUPT', exit: 6 })
        expect((await readdir(directory)).filter((name) => name.startsWith('model.safetensors'))).toEqual([])
      },
    )
  })
})

describe('an unfinished file', () => {
  test.each([
    ['of other content', Buffer.alloc(1_000_000, 7), ['bytes=1000000-', undefined]],
    ['that is too long', Buffer.alloc(9_000_000), [undefined]],
    ['that is empty', Buffer.alloc(0), [undefined]],
  ])('%s is no obstacle', async (_, left, expected) => {
    await using folder = await temporaryFolder()
    await using proxy = await cuttingProxy(registry.url, () => undefined)
    await writeFile(join(folder.path, 'model.safetensors.partial'), left)
    await pull({ directory: folder.path, endpoint: proxy.url })
    expect(await same(join(folder.path, 'model.safetensors'), join(sample, 'model.safetensors'))).toBe(true)
    expect(proxy.requests.filter(({ path }) => isWeights(path)).map(({ range }) => range)).toEqual(expected)
  })

  test('that is complete needs no request at all', async () => {
    await using folder = await temporaryFolder()
    await using proxy = await cuttingProxy(registry.url, () => undefined)
    await writeFile(join(folder.path, 'model.safetensors.partial'), weights)
    await pull({ directory: folder.path, endpoint: proxy.url })
    expect(await same(join(folder.path, 'model.safetensors'), join(sample, 'model.safetensors'))).toBe(true)
    expect(proxy.requests.some(({ path }) => isWeights(path))).toBe(false)
  })
})

describe('pulling a GGUF', () => {
  test.each([
    ['kjv/tiny', 'tiny-Q4_K_M.gguf', 'Q4_K_M.gguf'],
    ['kjv/tiny:q8_0', 'tiny-Q8_0.gguf', 'Q8_0.gguf'],
    ['kjv/split:Q2_K', 'split-Q2_K-00001-of-00002.gguf', 's-00001-of-00002.gguf'],
  ])('%s is %s', async (name, file, source) => {
    await using folder = await temporaryFolder()
    const { path } = await finish(pullGguf(name, { endpoint: registry.url, directory: folder.path }))
    expect(path.split('/').at(-1)).toBe(file)
    expect(await same(path, join(registry.folder, source))).toBe(true)
    if (file.includes('-of-')) {
      expect(await same(path.replace('00001-of', '00002-of'), join(registry.folder, 's-00002-of-00002.gguf'))).toBe(true)
    }
  })

  test('what is in the cache is not fetched again, whatever else is published', async () => {
    await using folder = await temporaryFolder()
    await using proxy = await cuttingProxy(registry.url, () => undefined)
    const options = { endpoint: proxy.url, directory: folder.path }
    const first = await finish(pullGguf('kjv/tiny:F16', options))
    await registry.publish({ source: await writeTinyGguf(registry.folder, 'new.gguf', { value: 42 }), name: 'kjv/tiny:NEW' })
    expect(await finish(pullGguf('kjv/tiny:F16', options))).toEqual(first)
    expect(proxy.requests.filter(({ path }) => path.includes('/resolve/'))).toHaveLength(1)
  })

  test('pulled into a folder, its report comes with it', async () => {
    await using folder = await temporaryFolder()
    const source = await writeTinyGguf(registry.folder, 'verified.gguf', { value: 7 })
    await writeFile(`${source}.verify.json`, JSON.stringify(tinyReport([await readFile(source)])))
    await registry.publish({ source, name: 'kjv/verified:F16' })
    const { files } = await pull({ repo: 'kjv/verified:F16', directory: folder.path })
    expect(files).toEqual(['verified-F16.gguf', 'verified-F16.gguf.verify.json'])
    expect(JSON.parse(await readFile(join(folder.path, 'verified-F16.gguf.verify.json'), 'utf8'))).toMatchObject({ passed: true })
  })
})

describe('a hub that lies', () => {
  const file = Buffer.from('{"model_type":"llama"}')
  const oid = createHash('sha1').update(`blob ${file.byteLength}\0`).update(file).digest('hex')
  const commit = '0123456789'.repeat(4)

  async function hubWith(tree: unknown, act: (endpoint: string, directory: string) => Promise<void>): Promise<void> {
    await using folder = await temporaryFolder()
    const server = createServer((request, response) => {
      const body = request.url?.includes('/resolve/')
        ? file
        : Buffer.from(JSON.stringify(request.url?.includes('/tree/') ? tree : { id: 'a/b', sha: commit }))
      response.end(body)
    })
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve)
    })
    const directory = join(folder.path, 'inner', 'model')
    await mkdir(directory, { recursive: true })
    try {
      await act(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, directory)
      expect(await readdir(folder.path)).toEqual(['inner'])
      expect(await readdir(join(folder.path, 'inner'))).toEqual(['model'])
    } finally {
      server.closeAllConnections()
      server.close()
    }
  }

  const entry = { type: 'file', path: 'config.json', size: file.byteLength, oid }

  test('small files are checked by the hash that git gives them', async () => {
    const options = { repo: 'a/b', include: ['*'] }
    await hubWith([entry], async (endpoint, directory) => {
      expect(await pull({ ...options, endpoint, directory })).toMatchObject({ bytes: file.byteLength })
      expect(await readFile(join(directory, 'config.json'))).toEqual(file)
    })
    await hubWith([{ ...entry, oid: 'f'.repeat(40) }], async (endpoint, directory) => {
      await expect(pull({ ...options, endpoint, directory })).rejects.toMatchObject({ code: 'DOWNLOAD_CORRUPT' })
      expect(await readdir(directory)).toEqual([])
    })
  })

  test.each([
    [{ ...entry, path: '../../escaped.json' }],
    [{ ...entry, path: '/tmp/escaped.json' }],
    [{ ...entry, path: 'a/../../escaped.json' }],
    [{ ...entry, path: 'C:\\escaped.json' }],
    [{ ...entry, path: '' }],
    [{ ...entry, path: 7 }],
    [{ ...entry, size: -1 }],
    [{ ...entry, size: 1e300 }],
    [{ ...entry, oid: '../x' }],
    [{ ...entry, lfs: { oid: 'short', size: 1, pointerSize: 1 } }],
  ])('%j is refused', async (bad) => {
    await hubWith([bad], async (endpoint, directory) => {
      const options = { repo: 'a/b', include: ['*'], endpoint, directory }
      await expect(pull(options)).rejects.toMatchObject({ code: 'HUB_ANSWER_INVALID', exit: 6 })
      expect(await readdir(directory)).toEqual([])
    })
  })

  test.each([[{}], ['text'], [null]])('a tree that is %j is refused', async (tree) => {
    await hubWith(tree, async (endpoint, directory) => {
      await expect(pull({ repo: 'a/b', endpoint, directory })).rejects.toMatchObject({ exit: expect.any(Number) })
    })
  })
})

describe('the token', () => {
  test('goes to the endpoint, whatever it looks like', async () => {
    await using folder = await temporaryFolder()
    await using proxy = await cuttingProxy(registry.url, () => undefined)
    await pull({ directory: folder.path, endpoint: proxy.url, token: 'secret' })
    expect(new Set(proxy.requests.map(({ token }) => token))).toEqual(new Set(['Bearer secret']))
  })
})

async function same(a: string, b: string): Promise<boolean> {
  return (await readFile(a)).equals(await readFile(b))
}
