import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { finish } from '../../../src/progress/index.js'
import { loadModel } from '../../../src/runner/index.js'
import { llama, sampleModels, samplePath } from '../../support/sample-models.js'

const dist = fileURLToPath(new URL('../../../dist/src/runner/index.js', import.meta.url))

/** The offset of what stands behind a name in a GGUF header. */
function after(file: Buffer, name: string): number {
  return file.indexOf(name) + name.length
}

/** A copy whose tensor has another type: behind its name stand the number of dimensions, those, and the type. */
function withType(file: Buffer, tensor: string, type: number): Buffer {
  const copy = Buffer.from(file)
  const offset = after(copy, tensor)
  copy.writeUInt32LE(type, offset + 4 + 8 * copy.readUInt32LE(offset))
  return copy
}

/** A copy whose u32 metadata value is another: behind its key stand the type and the value. */
function withNumber(file: Buffer, key: string, value: number): Buffer {
  const copy = Buffer.from(file)
  copy.writeUInt32LE(value, after(copy, key) + 4)
  return copy
}

describe.skipIf(!llama.available)(`damaged models (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let good: Buffer
  let text: string

  beforeAll(async () => {
    models = await sampleModels()
    good = await readFile(await models.make('llama-kjv', 'F32'))
    text = (await readFile(samplePath('text/kjv-heldout.txt'), 'utf8')).slice(0, 20_000)
  })
  afterAll(() => models[Symbol.asyncDispose]())

  const rejected: readonly [string, (file: Buffer) => Buffer, RegExp][] = [
    ['empty', () => Buffer.alloc(0), /cannot load/],
    ['not a GGUF', () => Buffer.from('rubbish '.repeat(100)), /magic characters: 'rubb'/],
    ['cut in its header', (file) => file.subarray(0, 3000), /cannot load/],
    ['cut in its weights', (file) => file.subarray(0, file.length >> 1), /not within the file bounds/],
    ['of a type that is not there', (file) => withType(file, 'blk.0.attn_q.weight', 777), /invalid ggml type 777/],
    [
      'of an unknown architecture',
      (file) => Buffer.from(file.toString('latin1').replace('\u0005\0\0\0\0\0\0\0llama', '\u0005\0\0\0\0\0\0\0zzzzz'), 'latin1'),
      /unknown model architecture: 'zzzzz'/,
    ],
    ['of more layers than weights', (file) => withNumber(file, 'llama.block_count', 5), /blk\.4\.attn_norm\.weight' not found/],
    ['of the wrong number of heads', (file) => withNumber(file, 'llama.attention.head_count', 7), /has wrong shape/],
  ]

  it.each(rejected)('%s: MODEL_REJECTED, in the words of llama.cpp', async (_, damage, words) => {
    const path = join(models.folder, 'damaged.gguf')
    await writeFile(path, damage(good))
    await expect(loadModel(path)).rejects.toMatchObject({ code: 'MODEL_REJECTED', message: expect.stringMatching(words) })
  })

  it('a file that is not there: FILE_MISSING', async () => {
    await expect(loadModel(join(models.folder, 'nowhere.gguf'))).rejects.toMatchObject({ code: 'FILE_MISSING' })
  })

  it('norms as integers: ggml aborts, which is LLAMA_CRASHED and no end of this process', async () => {
    const path = join(models.folder, 'integers.gguf')
    await writeFile(path, withType(good, 'blk.0.attn_norm.weight', 26))
    await using model = await loadModel(path)
    const crashed = { code: 'LLAMA_CRASHED', message: expect.stringMatching(/binary_op: unsupported types/) }
    await expect(finish(model.perplexity(text))).rejects.toMatchObject(crashed)
    await expect(model.tokenize('In the beginning')).rejects.toMatchObject({ code: 'LLAMA_CRASHED' })
  })

  it('an abort ends the child, whatever it does', async () => {
    const path = await models.make('llama-kjv', 'F32')
    const abort = new AbortController()
    await using model = await loadModel(path, { signal: abort.signal })
    const work = model.perplexity(text.repeat(20))
    await work.next()
    abort.abort()
    await expect(finish(work)).rejects.toMatchObject({ code: 'INTERRUPTED' })
    await expect(loadModel(path, { signal: abort.signal })).rejects.toMatchObject({ code: 'INTERRUPTED' })
  })

  it('the child ends with a parent that is killed', async () => {
    const path = await models.make('llama-kjv', 'F32')
    const script = `const { loadModel } = await import(${JSON.stringify(pathToFileURL(dist).href)})
      await loadModel(${JSON.stringify(path)})
      console.log('loaded')`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise((resolve) => parent.stdout.once('data', resolve))
    const children: string[] = []
    for (const thread of await readdir(`/proc/${parent.pid}/task`)) {
      const list = await readFile(`/proc/${parent.pid}/task/${thread}/children`, 'utf8')
      children.push(...list.split(' ').filter((id) => id !== ''))
    }
    expect(children).toHaveLength(1)
    parent.kill('SIGKILL')
    await vi.waitFor(() => expect(existsSync(`/proc/${children[0]}/cmdline`)).toBe(false), { timeout: 20_000 })
  })
})
