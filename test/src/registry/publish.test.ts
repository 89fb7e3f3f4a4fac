import { mkdir, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { finish } from '../../../src/progress/index.js'
import { listModels, type Published, type PublishOptions, publish } from '../../../src/registry/index.js'
import { digestOf } from '../../support/push.js'
import { temporaryFolder, tinyReport, writeTinyGguf } from '../../support/tiny-model.js'

const sample = 'samples/llama-kjv'

describe('publishing', () => {
  test('a GGUF becomes an OCI image layout over shared blobs', async () => {
    await using folder = await temporaryFolder()
    const registry = join(folder.path, 'registry')
    const source = await writeTinyGguf(folder.path, 'anything.gguf')
    const bytes = await readFile(source)

    const published = await run({ source, name: 'kjv/tiny', registry })
    expect(published).toMatchObject({ name: 'kjv/tiny:Q4_K_M', verified: false, sizeBytes: bytes.byteLength })
    expect(published.files).toEqual([{ path: 'tiny-Q4_K_M.gguf', digest: digestOf(bytes), sizeBytes: bytes.byteLength }])

    const layout = join(registry, 'repositories', 'kjv', 'tiny')
    expect(JSON.parse(await readFile(join(layout, 'oci-layout'), 'utf8'))).toEqual({ imageLayoutVersion: '1.0.0' })
    expect(await readlink(join(layout, 'blobs'))).toBe('../../../blobs')
    const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8'))
    expect(index).toMatchObject({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json' })
    const [{ digest, size, annotations }] = index.manifests
    expect(annotations).toEqual({ 'org.opencontainers.image.ref.name': 'Q4_K_M' })
    const manifestBytes = await readFile(join(layout, 'blobs', 'sha256', digest.slice(7)))
    expect([digestOf(manifestBytes), manifestBytes.byteLength]).toEqual([digest, size])
    const manifest = JSON.parse(manifestBytes.toString())
    expect(manifest).toMatchObject({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.docker.ai.model.config.v0.1+json' },
      layers: [
        {
          mediaType: 'application/vnd.docker.ai.gguf.v3',
          digest: digestOf(bytes),
          size: bytes.byteLength,
          annotations: { 'org.opencontainers.image.title': 'tiny-Q4_K_M.gguf' },
        },
      ],
    })
    const config = JSON.parse(await readFile(join(layout, 'blobs', 'sha256', manifest.config.digest.slice(7)), 'utf8'))
    expect(config.config).toMatchObject({ format: 'gguf', architecture: 'llama', quantization: 'Q4_K_M' })
    expect(config.rootfs.diff_ids).toEqual([digestOf(bytes)])
    expect(await readdir(join(registry, 'tmp'))).toEqual([])
    expect(await readdir(join(registry, 'locks'))).toEqual([])
  })

  test.each([
    ['model-IQ2_XS.gguf', 15, 'IQ2_XS'],
    ['model.q8_0.gguf', 15, 'Q8_0'],
    ['model-7B-bf16.gguf', 15, 'BF16'],
    ['model.gguf', 7, 'Q8_0'],
    ['model.gguf', 9999, 'latest'],
  ])('%s of file type %i is tagged %s', async (file, fileType, tag) => {
    await using folder = await temporaryFolder()
    const source = await writeTinyGguf(folder.path, file, { fileType })
    expect(await run({ source, name: 'kjv/tiny', registry: folder.path })).toMatchObject({ tag })
  })

  test('a shard stands for all of them, in order', async () => {
    await using folder = await temporaryFolder()
    const names = [0, 1, 2].map((index) => `m-Q2_K-0000${index + 1}-of-00003.gguf`)
    for (const [index, name] of names.entries()) {
      await writeTinyGguf(folder.path, name, { value: index, shard: { index, count: 3 } })
    }
    const source = join(folder.path, names[1] as string)
    const { files } = await run({ source, name: 'kjv/tiny:small', registry: folder.path })
    expect(files.map(({ path }) => path)).toEqual([0, 1, 2].map((index) => `tiny-small-0000${index + 1}-of-00003.gguf`))
    expect(files[2]?.digest).toBe(digestOf(await readFile(join(folder.path, names[2] as string))))

    await rm(join(folder.path, names[2] as string))
    await expect(run({ source, name: 'kjv/tiny:less', registry: folder.path })).rejects.toMatchObject({ code: 'GGUF_INVALID' })
  })

  test('a checkpoint keeps its file names, and the same files give the same digest', async () => {
    await using folder = await temporaryFolder()
    const [a, b] = [join(folder.path, 'a'), join(folder.path, 'b')]
    const published = await run({ source: sample, name: 'kjv/llama', registry: a })
    expect(published).toMatchObject({ name: 'kjv/llama:main' })
    const weights = published.files.find(({ path }) => path === 'model.safetensors')
    expect(weights?.digest).toBe(digestOf(await readFile(join(sample, 'model.safetensors'))))
    expect(await run({ source: sample, name: 'kjv/llama', registry: b })).toMatchObject({ digest: published.digest })
    expect(await listModels(a)).toMatchObject([{ name: 'kjv/llama:main', format: 'safetensors', architecture: 'llama' }])
  })

  test('what is no model is refused before anything is stored', async () => {
    await using folder = await temporaryFolder()
    const registry = join(folder.path, 'registry')
    const broken = join(folder.path, 'broken.gguf')
    const whole = await writeTinyGguf(folder.path, 'whole.gguf')
    await writeFile(broken, (await readFile(whole)).subarray(0, -1))
    const empty = join(folder.path, 'empty')
    await mkdir(empty)
    await expect(run({ source: broken, name: 'kjv/x', registry })).rejects.toMatchObject({ code: 'INPUT_TRUNCATED' })
    await expect(run({ source: empty, name: 'kjv/x', registry })).rejects.toMatchObject({ code: 'CHECKPOINT_EMPTY' })
    await expect(run({ source: `${broken}x`, name: 'kjv/x', registry })).rejects.toMatchObject({ code: 'FILE_MISSING' })
    await expect(run({ source: whole, name: '../x', registry })).rejects.toMatchObject({ code: 'NAME_INVALID' })
    await expect(stat(registry)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('editing the source afterwards does not change what was published', async () => {
    await using folder = await temporaryFolder()
    const source = await writeTinyGguf(folder.path, 'm.gguf')
    const before = await readFile(source)
    const { files } = await run({ source, name: 'kjv/tiny', registry: folder.path })
    await writeFile(source, 'something else')
    expect(await readFile(blob(folder.path, files[0]?.digest))).toEqual(before)
  })

  test('publishing again heals a damaged blob', async () => {
    await using folder = await temporaryFolder()
    const source = await writeTinyGguf(folder.path, 'm.gguf')
    const { files } = await run({ source, name: 'kjv/tiny', registry: folder.path })
    await rm(blob(folder.path, files[0]?.digest))
    await writeFile(blob(folder.path, files[0]?.digest), 'damage')
    await run({ source, name: 'kjv/tiny', registry: folder.path })
    expect(await readFile(blob(folder.path, files[0]?.digest))).toEqual(await readFile(source))
  })

  test('stopped halfway, no tag and no unfinished file remain', async () => {
    await using folder = await temporaryFolder()
    const stop = new AbortController()
    const work = publish({ source: sample, name: 'kjv/llama', registry: folder.path, signal: stop.signal })
    await expect(finish(work, ({ item }) => item === 'model.safetensors' && stop.abort())).rejects.toThrow(/abort/)
    expect(await listModels(folder.path)).toEqual([])
    expect(await readdir(join(folder.path, 'tmp'))).toEqual([])
  })
})

describe('the report of mq verify', () => {
  test('beside the model it is attached', async () => {
    await using folder = await temporaryFolder()
    const source = await writeTinyGguf(folder.path, 'm.gguf')
    await writeFile(`${source}.verify.json`, JSON.stringify(tinyReport([await readFile(source)])))
    const published = await run({ source, name: 'kjv/tiny', registry: folder.path })
    expect(published.verified).toBe(true)
    expect(published.files.map(({ path }) => path)).toEqual(['tiny-Q4_K_M.gguf', 'tiny-Q4_K_M.gguf.verify.json'])
    const stored = JSON.parse(await readFile(blob(folder.path, published.files[1]?.digest), 'utf8'))
    expect(stored).toMatchObject({ version: 1, passed: true })
    expect(await listModels(folder.path)).toMatchObject([{ verified: true }])
  })

  test('of other bytes, or with a failed gate, it stops the publication unless forced', async () => {
    await using folder = await temporaryFolder()
    const [registry, given] = [join(folder.path, 'registry'), join(folder.path, 'report.json')]
    const source = await writeTinyGguf(folder.path, 'm.gguf')
    for (const content of [tinyReport([Buffer.from('other')]), { ...tinyReport([await readFile(source)]), passed: false }]) {
      await writeFile(given, JSON.stringify(content))
      const options = { source, name: 'kjv/tiny', registry, report: given }
      await expect(run(options)).rejects.toMatchObject({ code: 'REPORT_MISMATCH', exit: 5 })
      expect(await listModels(registry)).toEqual([])
    }
    expect(await run({ source, name: 'kjv/tiny', registry, report: given, force: true })).toMatchObject({ verified: true })
  })
})

function run(options: PublishOptions): Promise<Published> {
  return finish(publish(options))
}

function blob(registry: string, digest: string | undefined): string {
  return join(registry, 'blobs', 'sha256', digest?.slice('sha256:'.length) ?? '')
}
