import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { chmod, mkdir, readdir, readFile, rename, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { pullGguf } from '../../../src/hub/index.js'
import { finish } from '../../../src/progress/index.js'
import {
  checkRegistry,
  collectGarbage,
  createToken,
  type Garbage,
  listModels,
  listRegistry,
  type Published,
  publish,
  removeModel,
  startRegistry,
} from '../../../src/registry/index.js'
import { temporaryFolder, writeTinyGguf } from '../../support/tiny-model.js'

const entry = fileURLToPath(new URL('../../../bin/run.js', import.meta.url))

/** A registry with models of one file each. */
async function registryWith(
  ...names: string[]
): Promise<{ path: string; registry: string; published: Published[] } & AsyncDisposable> {
  const folder = await temporaryFolder()
  const registry = join(folder.path, 'registry')
  const published: Published[] = []
  for (const [index, name] of names.entries()) {
    const source = await writeTinyGguf(folder.path, `m${index}.gguf`, { value: index })
    published.push(await finish(publish({ source, name, registry })))
  }
  return { path: folder.path, registry, published, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}

function blobOf({ registry }: { registry: string }, digest: string | undefined): string {
  return join(registry, 'blobs', 'sha256', (digest ?? '').slice('sha256:'.length))
}

function collect(registry: string, options: { graceMs?: number; dryRun?: boolean } = {}): Promise<Garbage> {
  return finish(collectGarbage({ registry, graceMs: -1, ...options }))
}

async function faults(
  registry: string,
  options: { repair?: boolean; from?: string[] } = {},
): Promise<[string, string[], boolean][]> {
  const check = await finish(checkRegistry({ registry, ...options }))
  return check.faults.map(({ problem, tags, repaired }) => [problem, [...tags], repaired])
}

describe('one damaged manifest', () => {
  test('hides nothing else, is named, and is what its tag answers with', async () => {
    await using at = await registryWith('kjv/a:one', 'kjv/a:two', 'kjv/b:one')
    await rm(blobOf(at, at.published[1]?.digest))
    await writeFile(blobOf(at, at.published[1]?.digest), '')
    const { models, damaged } = await listRegistry(at.registry)
    expect(models.map(({ name }) => name)).toEqual(['kjv/a:one', 'kjv/b:one'])
    expect(damaged).toEqual([{ name: 'kjv/a:two', problem: expect.stringContaining('has 0 bytes') }])
    const server = await startRegistry({ registry: at.registry, port: 0 })
    try {
      const options = { endpoint: server.url, directory: join(at.path, 'cache'), pauseMs: 1 }
      const { path } = await finish(pullGguf('kjv/a:one', options))
      expect(await readFile(path)).toEqual(await readFile(join(at.path, 'm0.gguf')))
      await expect(finish(pullGguf('kjv/a:two', options))).rejects.toMatchObject({ code: 'REGISTRY_CORRUPT' })
      expect((await fetch(`${server.url}/v2/kjv/a/manifests/two`)).status).toBe(500)
      expect((await fetch(`${server.url}/v2/kjv/a/manifests/one`)).status).toBe(200)
    } finally {
      await server.close()
    }
  })
})

describe('limits', () => {
  test('of tags are checked before anything is written', async () => {
    await using at = await registryWith('kjv/tags:t0')
    const path = join(at.registry, 'repositories', 'kjv', 'tags', 'index.json')
    const index = JSON.parse(await readFile(path, 'utf8'))
    const [first] = index.manifests
    index.manifests = Array.from({ length: 10_000 }, (_, count) => ({
      ...first,
      annotations: { 'org.opencontainers.image.ref.name': `t${count}` },
    }))
    await writeFile(path, JSON.stringify(index))
    const before = await readdir(join(at.registry, 'blobs', 'sha256'))
    const source = await writeTinyGguf(at.path, 'new.gguf', { value: 77 })
    const one = { source, registry: at.registry }
    await expect(finish(publish({ ...one, name: 'kjv/tags:more' }))).rejects.toMatchObject({ code: 'REGISTRY_LIMIT', exit: 2 })
    expect(await readdir(join(at.registry, 'blobs', 'sha256'))).toEqual(before)
    expect((await listRegistry(at.registry)).models).toHaveLength(10_000)
    // One that is there already may be moved.
    await finish(publish({ ...one, name: 'kjv/tags:t5' }))
  })
})

describe('a registry that cannot be read', () => {
  test('is no empty one', async () => {
    await using at = await registryWith('kjv/a:one')
    await expect(listModels(join(at.path, 'm0.gguf'))).rejects.toMatchObject({ code: 'FILE_UNREADABLE', exit: 4 })
    expect(await listModels(join(at.path, 'none'))).toEqual([])
    if (process.getuid?.() === 0) return
    await chmod(join(at.registry, 'repositories'), 0)
    await expect(listModels(at.registry)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    await chmod(join(at.registry, 'repositories'), 0o755)
  })
})

describe('removal', () => {
  test('of a tag leaves the others; of the last one, or of the model, no repository', async () => {
    await using at = await registryWith('kjv/a:one', 'kjv/a:two', 'kjv/b:one')
    expect(await removeModel('kjv/a:one', at.registry)).toEqual(['kjv/a:one'])
    expect((await listModels(at.registry)).map(({ name }) => name)).toEqual(['kjv/a:two', 'kjv/b:one'])
    await expect(removeModel('kjv/a:one', at.registry)).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' })
    expect(await removeModel('KJV/A:two', at.registry)).toEqual(['kjv/a:two'])
    await expect(removeModel('kjv/a', at.registry)).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' })
    expect(await removeModel('kjv/b', at.registry)).toEqual(['kjv/b:one'])
    expect(await listModels(at.registry)).toEqual([])
  })
})

describe('the collection of garbage', () => {
  test('deletes what no tag needs, and nothing that one does', async () => {
    await using at = await registryWith('kjv/a:one', 'kjv/a:two')
    const before = (await readdir(join(at.registry, 'blobs', 'sha256'))).length
    await removeModel('kjv/a:two', at.registry)
    expect(await collect(at.registry, { graceMs: 3_600_000 })).toMatchObject({ blobs: 0, young: 3 })
    expect(await collect(at.registry, { dryRun: true })).toMatchObject({ blobs: 3, dryRun: true })
    expect(await readdir(join(at.registry, 'blobs', 'sha256'))).toHaveLength(before)
    expect(await collect(at.registry)).toMatchObject({ blobs: 3, young: 0 })
    expect(await readdir(join(at.registry, 'blobs', 'sha256'))).toHaveLength(before - 3)
    expect(await faults(at.registry)).toEqual([])
    expect(await listModels(at.registry)).toHaveLength(1)
  })

  test('leaves what a writer at work has pinned, here or elsewhere', async () => {
    await using at = await registryWith('kjv/a:one')
    const digest = at.published[0]?.files[0]?.digest
    await removeModel('kjv/a', at.registry)
    const pin = join(at.registry, 'tmp', `${'f'.repeat(16)}.1.1.x.pin`)
    await writeFile(pin, `${digest}\n`)
    expect(await collect(at.registry)).toMatchObject({ blobs: 2 })
    expect(await readdir(join(at.registry, 'blobs', 'sha256'))).toEqual([digest?.slice('sha256:'.length)])
    const old = new Date(Date.now() - 48 * 3_600_000)
    await utimes(pin, old, old)
    expect(await collect(at.registry)).toMatchObject({ blobs: 1 })
  })

  test('puts back what an earlier one, killed, had set aside and a tag needs', async () => {
    await using at = await registryWith('kjv/a:one')
    await rename(join(at.registry, 'blobs', 'sha256'), join(at.registry, 'trash'))
    await mkdir(join(at.registry, 'blobs', 'sha256'))
    await collect(at.registry)
    expect(await faults(at.registry)).toEqual([])
  })

  test('deletes nothing where a list of tags cannot be read', async () => {
    await using at = await registryWith('kjv/a:one', 'kjv/b:one')
    await writeFile(join(at.registry, 'repositories', 'kjv', 'a', 'index.json'), 'damage')
    const before = await readdir(join(at.registry, 'blobs', 'sha256'))
    await expect(collect(at.registry)).rejects.toMatchObject({ code: 'REGISTRY_CORRUPT' })
    expect(await readdir(join(at.registry, 'blobs', 'sha256'))).toEqual(before)
  })

  test('goes with publishing at the same time', async () => {
    await using at = await registryWith('kjv/a:t0')
    const state = { running: true }
    const collecting = (async () => {
      while (state.running) await collect(at.registry)
    })()
    for (let round = 0; round < 12; round++) {
      const source = await writeTinyGguf(at.path, 'again.gguf', { value: round % 3 })
      await finish(publish({ source, name: `kjv/a:t${round % 2}`, registry: at.registry }))
    }
    state.running = false
    await collecting
    expect(await faults(at.registry)).toEqual([])
    expect(await listModels(at.registry)).toHaveLength(2)
  })
})

describe('fsck', () => {
  test('names what is damaged and missing, and the tags that need it; takes copies', async () => {
    await using at = await registryWith('kjv/a:one', 'kjv/a:two', 'kjv/b:one')
    await using other = await temporaryFolder()
    expect(await faults(at.registry)).toEqual([])
    const [first, second] = [at.published[0]?.files[0]?.digest, at.published[1]?.files[0]?.digest]
    await chmod(blobOf(at, first), 0o644)
    await truncate(blobOf(at, first), 3)
    await rm(blobOf(at, second))
    await writeFile(join(at.registry, 'blobs', 'sha256', 'stray'), 'x')
    const found = await faults(at.registry)
    expect(found).toEqual(
      expect.arrayContaining([
        ['its content has changed', ['kjv/a:one'], false],
        ['it is missing', ['kjv/a:two'], false],
        ['it is not a blob: blobs are named by their SHA-256', [], false],
      ]),
    )
    // A copy of one, in a folder of files of any name; none of the other.
    await writeFile(join(other.path, 'copy.bin'), await readFile(join(at.path, 'm1.gguf')))
    const repaired = await faults(at.registry, { repair: true, from: [other.path] })
    expect(repaired).toContainEqual(['it is missing', ['kjv/a:two'], true])
    expect(repaired).toContainEqual(['its content has changed', ['kjv/a:one'], false])
    expect(await readdir(join(at.registry, 'damaged'))).toEqual([first?.slice('sha256:'.length)])
    await finish(publish({ source: join(at.path, 'm0.gguf'), name: 'kjv/a:one', registry: at.registry }))
    await rm(join(at.registry, 'blobs', 'sha256', 'stray'))
    expect(await faults(at.registry)).toEqual([])
  })
})

/** Moments at which a process is killed, evenly over its work; MQ_KILLS=20 looks longer. */
const kills = Number(process.env['MQ_KILLS'] ?? 3)

describe('kill -9', () => {
  test.each([
    ['publish', 'tmp', ['publish', 'SOURCE', 'kjv/new:one', '--no-check', '--registry', 'REGISTRY']],
    ['gc', 'locks', ['registry', 'gc', '--grace', '0', '--registry', 'REGISTRY']],
  ])(
    `of %s at ${kills} moments breaks no tag and loses no blob`,
    async (what, changedFirst, command) => {
      await using at = await registryWith('kjv/a:one', 'kjv/a:two')
      const source = join(at.path, 'big.gguf')
      const tiny = await readFile(join(at.path, 'm1.gguf'))
      await writeFile(source, Buffer.concat([tiny, Buffer.alloc(30 << 20, 7)]))
      const argv = command.map((word) => word.replace('SOURCE', source).replace('REGISTRY', at.registry))
      const addGarbage = async (value: number): Promise<void> => {
        const own = await writeTinyGguf(at.path, 'garbage.gguf', { value })
        await finish(publish({ source: own, name: 'kjv/a:garbage', registry: at.registry }))
        await removeModel('kjv/a:garbage', at.registry)
      }
      // From its first change of the registry on: most of a command's time is its start.
      const timed = async (killAfterMs?: number): Promise<number> => {
        const changes = watch(join(at.registry, changedFirst))
        const child = spawn(process.execPath, [entry, ...argv], { stdio: 'ignore' })
        let started: number | undefined
        let timer: NodeJS.Timeout | undefined
        changes.once('change', () => {
          started = performance.now()
          if (killAfterMs !== undefined) timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs)
        })
        const end = await once(child, 'exit')
        const ended = performance.now()
        clearTimeout(timer)
        changes.close()
        expect(
          killAfterMs === undefined
            ? [[0, null]]
            : [
                [0, null],
                [null, 'SIGKILL'],
              ],
        ).toContainEqual(end)
        return ended - (started ?? expect.fail('it changes nothing'))
      }
      if (what === 'gc') await addGarbage(99)
      // How long it takes when it is left alone says where the moments are.
      const whole = await timed()
      for (let round = 0; round < kills; round++) {
        if (what === 'gc') await addGarbage(100 + round)
        await timed((whole * (round + Math.random())) / kills)
        const { models, damaged } = await listRegistry(at.registry)
        expect(damaged).toEqual([])
        expect(models.map(({ name }) => name)).toEqual(expect.arrayContaining(['kjv/a:one', 'kjv/a:two']))
        expect(await faults(at.registry)).toEqual([])
      }
      await timed()
      await collect(at.registry)
      expect(await faults(at.registry)).toEqual([])
      expect((await readdir(join(at.registry, 'tmp'))).filter((name) => !name.endsWith('.pin'))).toEqual([])
      expect(await readdir(join(at.registry, 'locks'))).toEqual([])
    },
    60_000 + 30_000 * kills,
  )
})

describe('kill -9 of the server', () => {
  test.each(['push', 'commit'])(
    `during a %s, at ${kills} moments, breaks no tag and loses no blob`,
    async (what) => {
      await using at = await registryWith('kjv/a:one')
      const { token } = await createToken(at.registry, { name: 'writer', write: true })
      const headers = { authorization: `Bearer ${token}` }
      const write = async (url: string, content: Buffer): Promise<void> => {
        const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`
        const call = (path: string, init: RequestInit): Promise<Response> =>
          fetch(path.startsWith('http') ? path : `${url}${path}`, { headers, ...init })
        if (what === 'push') {
          await call(`/v2/kjv/a/blobs/uploads/?digest=${digest}`, { method: 'POST', body: content })
          const layer = { mediaType: 'application/vnd.docker.ai.gguf.v3', digest, size: content.byteLength }
          const body = JSON.stringify({ schemaVersion: 2, config: layer, layers: [layer] })
          const type = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }
          await call('/v2/kjv/a/manifests/two', { method: 'PUT', body, headers: { ...headers, ...type } })
        } else {
          const value = { path: 'a.bin', content: content.toString('base64'), encoding: 'base64' }
          await call('/api/models/kjv/a/commit/main', { method: 'POST', body: JSON.stringify({ key: 'file', value }) })
        }
      }
      let whole = 0
      for (let round = 0; round <= kills; round++) {
        const child = spawn(process.execPath, [entry, 'registry', 'serve', '--registry', at.registry, '--port', '0', '-q'], {
          stdio: ['ignore', 'pipe', 'ignore'],
        })
        const [line] = (await once(child.stdout, 'data')) as [Buffer]
        const url = String(line).split(' ')[0] as string
        const content = Buffer.alloc(4 << 20, `${what}${round}`)
        const started = performance.now()
        const writing = write(url, content).catch(() => undefined)
        // The first is left alone: how long it takes says where the moments are.
        if (round === 0) await writing
        else await new Promise((resolve) => setTimeout(resolve, (whole * (round - Math.random())) / kills))
        whole ||= performance.now() - started
        child.kill('SIGKILL')
        await Promise.all([once(child, 'exit'), writing])
        expect((await listRegistry(at.registry)).damaged).toEqual([])
        expect(await faults(at.registry)).toEqual([])
        expect((await listModels(at.registry)).map(({ name }) => name)).toContain('kjv/a:one')
      }
      expect(await listModels(at.registry)).toHaveLength(2)
    },
    60_000 + 30_000 * kills,
  )
})
