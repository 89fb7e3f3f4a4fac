import { spawnSync } from 'node:child_process'
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { describe, expect, test } from 'vitest'
import { ownIdentity } from '../../../src/files/index.js'
import { finish } from '../../../src/progress/index.js'
import { listModels, listRegistry, publish } from '../../../src/registry/index.js'
import { temporaryFolder, writeTinyGguf } from '../../support/tiny-model.js'

describe('many writers', () => {
  test('of different tags, in one process and in several, lose nothing', async () => {
    await using folder = await temporaryFolder()
    const registry = join(folder.path, 'registry')
    const tags = Array.from({ length: 16 }, (_, index) => `t${index}`)
    const publishTag = async (tag: string, index: number): Promise<unknown> => {
      const source = await writeTinyGguf(folder.path, `${tag}.gguf`, { value: index })
      // Every other spelling differs in case, and is the same repository nevertheless.
      const name = index % 2 === 0 ? `kjv/tiny:${tag}` : `KJV/Tiny:${tag}`
      if (index >= 3) return finish(publish({ source, name, registry }))
      return execa(process.execPath, ['bin/run.js', 'publish', source, name, '--no-check', '--registry', registry])
    }
    await Promise.all(tags.map(publishTag))
    const listed = await listModels(registry)
    expect(new Set(listed.map(({ name }) => name.split(':')[1]))).toEqual(new Set(tags))
    expect(new Set(listed.map(({ name }) => name.split(':')[0])).size).toBe(1)
    expect(await readdir(join(registry, 'locks'))).toEqual([])
    expect(await readdir(join(registry, 'tmp'))).toEqual([])
  })
})

describe('after a crash', () => {
  test('the lock and the unfinished files of a killed process do not matter', async () => {
    await using folder = await temporaryFolder()
    const { pid } = spawnSync(process.execPath, ['-e', ''])
    const own = await ownIdentity()
    const other = 'f'.repeat(16)
    for (const name of ['locks', 'tmp']) await mkdir(join(folder.path, name), { recursive: true })
    const lock = JSON.stringify({ ...own, pid, token: 'of the dead' })
    await writeFile(join(folder.path, 'locks', 'kjv%2Ftiny.lock'), lock)
    await writeFile(join(folder.path, 'tmp', `${own.place}.${pid}.1.left`), 'half a blob')
    await writeFile(join(folder.path, 'tmp', `${own.place}.${own.pid}.${own.start}.mine`), 'at work')
    await writeFile(join(folder.path, 'tmp', `${other}.${pid}.1.fresh`), 'at work elsewhere')

    const source = await writeTinyGguf(folder.path, 'm.gguf')
    await finish(publish({ source, name: 'kjv/tiny', registry: folder.path }))
    expect(await listModels(folder.path)).toHaveLength(1)
    expect((await readdir(join(folder.path, 'tmp'))).sort()).toEqual(
      [`${own.place}.${own.pid}.${own.start}.mine`, `${other}.${pid}.1.fresh`].sort(),
    )
    expect(await readdir(join(folder.path, 'locks'))).toEqual([])
  })

  test('a lock of another machine is taken over when it is old', async () => {
    await using folder = await temporaryFolder()
    await mkdir(join(folder.path, 'locks'), { recursive: true })
    const lock = join(folder.path, 'locks', 'kjv%2Ftiny.lock')
    await writeFile(lock, JSON.stringify({ place: 'f'.repeat(16), pid: 1, start: '1', token: 'theirs' }))
    const old = new Date(Date.now() - 3_600_000)
    await utimes(lock, old, old)
    const source = await writeTinyGguf(folder.path, 'm.gguf')
    await finish(publish({ source, name: 'kjv/tiny', registry: folder.path }))
    expect(await listModels(folder.path)).toHaveLength(1)
  })

  test('a repository without tags is none, and can be published to', async () => {
    await using folder = await temporaryFolder()
    await mkdir(join(folder.path, 'repositories', 'kjv', 'tiny'), { recursive: true })
    expect(await listModels(folder.path)).toEqual([])
    const source = await writeTinyGguf(folder.path, 'm.gguf')
    await finish(publish({ source, name: 'kjv/tiny', registry: folder.path }))
    expect(await listModels(folder.path)).toMatchObject([{ name: 'kjv/tiny:Q4_K_M', verified: false }])
  })
})

describe('a damaged registry', () => {
  const damage: [string, string][] = [
    ['cut off', '{"schemaVersion":2,"manif'],
    ['of another kind', '[]'],
    ['with a digest that is a path', indexWith({ digest: 'sha256:../../../../etc/passwd' })],
    ['with a negative size', indexWith({ size: -1 })],
    ['pointing to nothing', indexWith({})],
    ['pointing to a huge manifest', indexWith({ size: 2 ** 40 })],
  ]
  test.each(damage)('index.json %s is named as damaged', async (_, content) => {
    await using folder = await temporaryFolder()
    const source = await writeTinyGguf(folder.path, 'm.gguf')
    await finish(publish({ source, name: 'kjv/tiny', registry: folder.path }))
    const index = join(folder.path, 'repositories', 'kjv', 'tiny', 'index.json')
    await writeFile(index, content)
    const { models, damaged } = await listRegistry(folder.path)
    expect(models).toEqual([])
    expect(damaged).toEqual([
      { name: expect.stringMatching(/^kjv\/tiny(?::x)?$/), problem: expect.stringContaining('is damaged') },
    ])
  })

  test('keeps its damaged tags until --force, which sets them aside', async () => {
    await using folder = await temporaryFolder()
    const source = await writeTinyGguf(folder.path, 'm.gguf')
    const options = { source, name: 'kjv/tiny', registry: folder.path }
    await finish(publish(options))
    const index = join(folder.path, 'repositories', 'kjv', 'tiny', 'index.json')
    await writeFile(index, 'damage')
    await expect(finish(publish(options))).rejects.toMatchObject({ code: 'REGISTRY_CORRUPT' })
    expect(await readFile(index, 'utf8')).toBe('damage')
    await finish(publish({ ...options, force: true }))
    expect(await listModels(folder.path)).toHaveLength(1)
    expect(await readFile(`${index}.damaged`, 'utf8')).toBe('damage')
  })
})

function indexWith(descriptor: object): string {
  const whole = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: `sha256:${'0'.repeat(64)}`,
    size: 10,
    annotations: { 'org.opencontainers.image.ref.name': 'x' },
    ...descriptor,
  }
  return JSON.stringify({ schemaVersion: 2, manifests: [whole] })
}
