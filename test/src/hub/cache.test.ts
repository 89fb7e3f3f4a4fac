import { randomBytes } from 'node:crypto'
import { readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { checkCache, listCache, pullGguf, removeCached } from '../../../src/hub/index.js'
import { finish, type Progress } from '../../../src/progress/index.js'
import { temporaryFolder } from '../../support/tiny-model.js'
import { sendAndCut, waywardHub } from '../../support/wayward-hub.js'

const files = { 'm-Q4_K_M.gguf': randomBytes(5000), 'm-Q8_0.gguf': randomBytes(9000) }

afterEach(() => {
  vi.unstubAllEnvs()
})

describe('what is cached', () => {
  test('runs while the hub does not answer, and says so', async () => {
    await using cache = await temporaryFolder()
    const hub = await waywardHub({ files })
    const options = { endpoint: hub.url, directory: cache.path, pauseMs: 1 }
    const { path } = await finish(pullGguf('ns/model:Q8_0', options))
    await hub[Symbol.asyncDispose]()
    const notices: string[] = []
    const onProgress = ({ notice }: Progress): void => void (notice !== undefined && notices.push(notice))
    expect(await finish(pullGguf('ns/model:Q8_0', options), onProgress)).toEqual({ path })
    expect(notices.join()).toContain('cannot be reached')
    expect(notices.join()).toContain('ns/model:Q8_0')
    await expect(finish(pullGguf('ns/model:Q4_K_M', options))).rejects.toMatchObject({ code: 'NETWORK' })
    // What is there in part is not there.
    await truncate(path, 10)
    await expect(finish(pullGguf('ns/model:Q8_0', options))).rejects.toMatchObject({ code: 'NETWORK' })
  })

  test('is all that is asked for with HF_HUB_OFFLINE', async () => {
    await using cache = await temporaryFolder()
    await using hub = await waywardHub({ files })
    const options = { endpoint: hub.url, directory: cache.path }
    const first = await finish(pullGguf('ns/model', options))
    const asked = hub.requests.length
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    expect(await finish(pullGguf('ns/model', options))).toEqual(first)
    await expect(finish(pullGguf('ns/model:Q8_0', options))).rejects.toMatchObject({ code: 'NETWORK' })
    expect(hub.requests).toHaveLength(asked)
  })

  test('is listed, by the names it was pulled by', async () => {
    await using cache = await temporaryFolder()
    await using hub = await waywardHub({ files })
    expect(await listCache(cache.path)).toEqual([])
    for (const name of ['ns/model', 'ns/model:Q4_K_M', 'ns/model:Q8_0']) {
      await finish(pullGguf(name, { endpoint: hub.url, directory: cache.path }))
    }
    const models = await listCache(cache.path)
    expect(models.map(({ names }) => names.map(({ name }) => name).sort())).toEqual([
      ['ns/model:Q8_0'],
      ['ns/model', 'ns/model:Q4_K_M'],
    ])
    expect(models.map(({ sizeBytes, unfinishedBytes }) => [sizeBytes, unfinishedBytes])).toEqual([
      [9000, 0],
      [5000, 0],
    ])
  })

  test('is checked against its hashes, and repaired by removal', async () => {
    await using cache = await temporaryFolder()
    await using hub = await waywardHub({ files })
    const options = { endpoint: hub.url, directory: cache.path }
    const { path } = await finish(pullGguf('ns/model:Q8_0', options))
    await finish(pullGguf('ns/model:Q4_K_M', options))
    expect(await finish(checkCache({ cache: cache.path }))).toMatchObject({ models: 2, files: 2, bytes: 14_000, faults: [] })
    const damaged = Buffer.from(files['m-Q8_0.gguf'])
    damaged[4000] = (damaged[4000] as number) ^ 1
    await writeFile(path, damaged)
    const fault = { path, problem: 'its content has changed' }
    expect((await finish(checkCache({ cache: cache.path }))).faults).toEqual([{ ...fault, removed: false }])
    expect((await finish(checkCache({ cache: cache.path, repair: true }))).faults).toEqual([{ ...fault, removed: true }])
    expect(files['m-Q8_0.gguf'].equals(await readFile((await finish(pullGguf('ns/model:Q8_0', options))).path))).toBe(true)
    // Of a cache of an older version the folders' names say what was in them.
    await rm(join(cache.path, 'names'), { recursive: true })
    expect((await finish(checkCache({ cache: cache.path }))).faults).toEqual([])
    await writeFile(path, damaged)
    expect((await finish(checkCache({ cache: cache.path }))).faults).toMatchObject([
      { problem: 'its files do not belong together' },
    ])
  })

  test('is removed by name, and unfinished downloads by themselves', async () => {
    await using cache = await temporaryFolder()
    await using hub = await waywardHub({
      files,
      onFile: ({ path, bytes, start }, response) =>
        path.includes('Q8_0') && start === undefined ? sendAndCut(response, bytes, 2000) : void response.writeHead(500).end(),
    })
    await using whole = await waywardHub({ files })
    const options = { directory: cache.path, pauseMs: 1 }
    await expect(finish(pullGguf('ns/model:Q8_0', { ...options, endpoint: hub.url }))).rejects.toMatchObject({ code: 'NETWORK' })
    await finish(pullGguf('ns/model:Q4_K_M', { ...options, endpoint: whole.url }))
    const unfinished = await removeCached('unfinished', cache.path)
    expect(unfinished.map(({ unfinishedBytes }) => unfinishedBytes > 0)).toEqual([true])
    expect((await listCache(cache.path)).map(({ unfinishedBytes }) => unfinishedBytes)).toEqual([0, 0])
    await expect(removeCached({ names: ['ns/none'] }, cache.path)).rejects.toMatchObject({ code: 'CACHE_MISSING', exit: 3 })
    expect(await removeCached({ names: ['ns/model'] }, cache.path)).toHaveLength(1)
    expect(await readdir(join(cache.path, 'names'))).toEqual([])
    await removeCached('all', cache.path)
    await expect(stat(join(cache.path, 'models'))).rejects.toThrow('ENOENT')
  })
})
