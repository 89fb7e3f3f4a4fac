import { readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Blueprint } from '../../../src/blueprint.js'
import { openProbeCache } from '../../../src/sensitivity/probe-cache.js'
import { smallModel } from '../../support/small-model.js'
import { temporaryFolder } from '../../support/tiny-model.js'

const identityOf = (blueprint: Blueprint, text = 'a text', weight = 1) => ({
  blueprint,
  importance: () => Float32Array.of(weight),
  text,
  base: 'Q2_K',
})

describe('openProbeCache', () => {
  it('finds again what was probed of the same model on the same text, and nothing else', async () => {
    await using folder = await temporaryFolder()
    const cacheFolder = join(folder.path, 'probes')
    const blueprint = await smallModel(folder.path, [{ name: 'a', shape: [2, 32] }])
    const cache = await openProbeCache(identityOf(blueprint), cacheFolder)
    expect(cache.known.size).toBe(0)
    await cache.add('', [0.5, 0.25])
    await cache.add('ffn-up', [0.125, 0])
    const again = await openProbeCache(identityOf(blueprint), cacheFolder)
    expect([...again.known]).toEqual([
      ['', [0.5, 0.25]],
      ['ffn-up', [0.125, 0]],
    ])
    expect((await openProbeCache(identityOf(blueprint, 'another'), cacheFolder)).known.size).toBe(0)
    expect((await openProbeCache(identityOf(blueprint, 'a text', 2), cacheFolder)).known.size).toBe(0)
    await utimes(blueprint.files[0] ?? '', 1, 1)
    expect((await openProbeCache(identityOf(blueprint), cacheFolder)).known.size).toBe(0)
  })

  it('takes a damaged file for none, and keeps no more than 32', async () => {
    await using folder = await temporaryFolder()
    const cacheFolder = join(folder.path, 'probes')
    const blueprint = await smallModel(folder.path, [{ name: 'a', shape: [2, 32] }])
    const cache = await openProbeCache(identityOf(blueprint), cacheFolder)
    await cache.add('', [1])
    const [name = ''] = await readdir(cacheFolder)
    for (const damaged of ['{', '{}', '[["a", ["b"]], 3, [1, [1]]]']) {
      await writeFile(join(cacheFolder, name), damaged)
      expect((await openProbeCache(identityOf(blueprint), cacheFolder)).known.size).toBe(0)
    }
    for (let index = 0; index < 40; index += 1) {
      const path = join(cacheFolder, `${index}.json`)
      await writeFile(path, '[]')
      await utimes(path, index, index)
    }
    await cache.add('x', [1])
    const left = await readdir(cacheFolder)
    expect(left).toHaveLength(32)
    expect(left).toContain(name)
    expect(left).not.toContain('0.json')
  })
})
