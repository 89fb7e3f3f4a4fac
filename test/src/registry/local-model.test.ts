import { mkdir, readFile, realpath, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { locateModel } from '../../../src/locate-model.js'
import { finish } from '../../../src/progress/index.js'
import { findLocalModel, findLocalSource, publish } from '../../../src/registry/index.js'
import { writeTinyCheckpoint } from '../../support/tiny-checkpoint.js'
import { temporaryFolder, writeTinyGguf } from '../../support/tiny-model.js'

afterEach(() => {
  vi.unstubAllEnvs()
})

describe('a model of a registry on this disk', () => {
  test('is found by tag, without a server, its shards under their names', async () => {
    await using folder = await temporaryFolder()
    const registry = join(folder.path, 'registry')
    const cache = join(folder.path, 'cache')
    const q4 = await writeTinyGguf(folder.path, 'a.gguf', { value: 4 })
    const q8 = await writeTinyGguf(folder.path, 'b.gguf', { value: 8 })
    for (const [source, tag] of [
      [q4, 'Q4_K_M'],
      [q8, 'Q8_0'],
    ] as const) {
      await finish(publish({ source, name: `kjv/tiny:${tag}`, registry }))
    }
    for (const index of [0, 1]) {
      await writeTinyGguf(folder.path, `s-0000${index + 1}-of-00002.gguf`, { value: index, shard: { index, count: 2 } })
    }
    await finish(publish({ source: join(folder.path, 's-00001-of-00002.gguf'), name: 'kjv/split:Q2_K', registry }))

    const content = async (name: string): Promise<Buffer> => readFile((await findLocalModel(name, registry, cache)) ?? '')
    expect(await content('kjv/tiny:Q8_0')).toEqual(await readFile(q8))
    expect(await content('kjv/tiny')).toEqual(await readFile(q4))
    expect(await content('KJV/Tiny:q8_0')).toEqual(await readFile(q8))
    expect(await findLocalModel('kjv/tiny:Q3_K_S', registry, cache)).toBeUndefined()
    expect(await findLocalModel('kjv/none', registry, cache)).toBeUndefined()
    const first = (await findLocalModel('kjv/split:Q2_K', registry, cache)) as string
    expect(first).toMatch(/split-Q2_K-00001-of-00002\.gguf$/)
    expect(await findLocalModel('kjv/split:Q2_K', registry, cache)).toBe(first)
    for (const number of ['00001', '00002']) {
      expect(await readFile(first.replace('00001', number))).toEqual(
        await readFile(join(folder.path, `s-${number}-of-00002.gguf`)),
      )
    }
  })

  test.each([
    ['GGUF', 'model.gguf', (folder: string) => writeTinyGguf(folder, 'model.gguf')],
    ['checkpoint', 'model.safetensors', (folder: string) => writeTinyCheckpoint(folder)],
  ])('is not given where a blob of its %s is damaged or missing', async (_, file, write) => {
    await using folder = await temporaryFolder()
    const registry = join(folder.path, 'registry')
    const source = join(folder.path, 'source')
    await mkdir(source)
    await write(source)
    await finish(publish({ source: file.endsWith('.gguf') ? join(source, file) : source, name: 'kjv/tiny', registry }))
    const found = (await findLocalSource('kjv/tiny', registry, join(folder.path, 'cache'))) ?? ''
    const blob = await realpath(file.endsWith('.gguf') ? found : join(found, file))
    expect(await readFile(blob)).toEqual(await readFile(join(source, file)))
    await truncate(blob, 100)
    const again = (): Promise<unknown> => findLocalSource('kjv/tiny', registry, join(folder.path, 'cache'))
    await expect(again()).rejects.toMatchObject({ code: 'REGISTRY_CORRUPT', message: expect.stringContaining('100 bytes, not') })
    await rm(blob)
    await expect(again()).rejects.toMatchObject({ code: 'REGISTRY_CORRUPT', message: expect.stringContaining('is missing') })
  })

  test('is what a name means when no endpoint is named', async () => {
    await using folder = await temporaryFolder()
    const registry = join(folder.path, 'registry')
    vi.stubEnv('MQ_REGISTRY', registry)
    vi.stubEnv('MQ_CACHE', join(folder.path, 'cache'))
    vi.stubEnv('MQ_ENDPOINT', '')
    vi.stubEnv('HF_ENDPOINT', '')
    const source = await writeTinyGguf(folder.path, 'a.gguf')
    await finish(publish({ source, name: 'kjv/tiny:Q4_K_M', registry }))
    const { path } = await finish(locateModel('kjv/tiny'))
    expect(await readFile(path)).toEqual(await readFile(source))
    // An endpoint that is named is asked, and nobody else.
    await expect(finish(locateModel('kjv/tiny', { endpoint: 'http://127.0.0.1:1' }))).rejects.toMatchObject({ code: 'NETWORK' })
    await expect(finish(locateModel('kjv/none', { registry }))).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' })
    expect(await finish(locateModel(source))).toEqual({ path: source })
  })
})
