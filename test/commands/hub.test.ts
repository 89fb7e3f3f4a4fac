import { lstat, mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeAdapter } from '../support/adapters.js'
import { mistralLinear } from '../support/checkpoint-variants.js'
import { writeCheckpoint } from '../support/checkpoints.js'
import { runMqHere } from '../support/run-mq-here.js'
import { type WaywardHub, waywardHub } from '../support/wayward-hub.js'

let folder = ''
let hub: WaywardHub
const down = 'model.layers.0.mlp.down_proj'

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-hub-'))
  const base = await writeCheckpoint(join(folder, 'base'), mistralLinear)
  const tensors = { [`${down}.lora_A.weight`]: [4, 64], [`${down}.lora_B.weight`]: [128, 4] }
  const adapter = await writeAdapter(join(folder, 'adapter'), { tensors })
  const names = await Promise.all([base, adapter].map(async (place) => (await readdir(place)).map((name) => join(place, name))))
  const files: Record<string, Buffer> = {}
  for (const path of names.flat()) files[path.slice(path.lastIndexOf('/') + 1)] = await readFile(path)
  hub = await waywardHub({ files: { ...files, 'original/notes.txt': Buffer.from('x') } })
})
afterAll(async () => {
  await hub[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

function mq(args: string[], env: Record<string, string> = {}): ReturnType<typeof runMqHere> {
  const own = { HF_ENDPOINT: hub.url, HF_HOME: join(folder, 'home'), HF_TOKEN: 'hf_x', NODE_ENV: 'production' }
  return runMqHere(args, { cwd: folder, env: { ...own, ...env } })
}

describe('hf: in place of a path', () => {
  test('pulls into the cache of the tools of Hugging Face, once', async () => {
    expect(await mq(['convert', 'hf:ns/model', '--type', 'f32', '-o', 'remote.gguf', '--name', 'x'])).toMatchObject({
      exitCode: 0,
    })
    const place = join(folder, 'home', 'hub', 'models--ns--model')
    const commit = await readFile(join(place, 'refs', 'main'), 'utf8')
    const snapshot = join(place, 'snapshots', commit)
    expect((await readdir(snapshot)).toSorted()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ])
    expect((await lstat(join(snapshot, 'model.safetensors'))).isSymbolicLink()).toBe(true)
    expect(await readlink(join(snapshot, 'model.safetensors'))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40,64}$/)
    // The same bytes as from the folder.
    expect(await mq(['convert', 'base', '--type', 'f32', '-o', 'local.gguf', '--name', 'x'])).toMatchObject({ exitCode: 0 })
    const [remote, local] = await Promise.all(['remote.gguf', 'local.gguf'].map((name) => readFile(join(folder, name))))
    expect(remote?.equals(local as Buffer)).toBe(true)

    const weights = (): number =>
      hub.requests.filter((line) => line.includes('model.safetensors') && line.includes('/resolve/')).length
    const before = weights()
    expect(await mq(['quantize', 'hf:ns/model@main', '--type', 'Q8_0', '-o', 'q8.gguf'])).toMatchObject({ exitCode: 0 })
    expect(weights()).toBe(before)
    // Nobody there: what was pulled before.
    const offline = await mq(['quantize', 'hf:ns/model', '--type', 'Q8_0', '-o', 'q8-2.gguf'], { HF_HUB_OFFLINE: '1' })
    expect(offline).toMatchObject({ exitCode: 0 })
  })

  test('reads headers alone for inspect', async () => {
    const { exitCode, stdout, stderr } = await mq(['inspect', 'hf:ns/model', '--json'], { HF_HUB_CACHE: join(folder, 'unused') })
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({ format: 'safetensors', architecture: 'MistralForCausalLM' })
    await expect(stat(join(folder, 'unused'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('names an adapter, too', async () => {
    const outputs = ['one.gguf', 'two.gguf']
    for (const [index, adapter] of ['hf:ns/model:0.5', 'adapter:0.5'].entries()) {
      const args = ['convert', 'base', '--lora', adapter, '-o', outputs[index] ?? '', '--name', 'x']
      expect(await mq(args)).toMatchObject({ exitCode: 0 })
    }
    const [one, two] = await Promise.all(outputs.map((name) => readFile(join(folder, name))))
    expect(one?.equals(two as Buffer)).toBe(true)
  })

  test('says what it cannot find, for every command that takes a model', async () => {
    for (const [command, ...rest] of [
      ['convert', '-o', 'x.gguf'],
      ['quantize', '--type', 'Q8_0', '-o', 'x.gguf'],
      ['plan', '--type', 'Q8_0'],
      ['inspect'],
      ['imatrix', '--text', 'base/config.json'],
      ['verify', '--against', 'base', '--text', 'base/config.json'],
      ['compare', '--against', 'base', '--text', 'base/config.json'],
      ['run', 'hello'],
      ['publish', 'ns/other'],
    ] as [string, ...string[]][]) {
      const { exitCode, stderr } = await mq([command, 'hf:nobody/nothing', ...rest])
      expect({ command, exitCode, stderr }).toMatchObject({
        exitCode: 6,
        stderr: expect.stringContaining('nobody/nothing') as string,
      })
    }
  })
})

test('pull takes patterns to leave files out, and a folder of its own', async () => {
  const args = [
    'pull',
    'hf:ns/model',
    '--include',
    '*.json',
    '--include',
    '*.txt',
    '--exclude',
    'original/*',
    '--exclude',
    'tok*',
    '-o',
    'some',
  ]
  expect(await mq(args)).toMatchObject({ exitCode: 0 })
  expect((await readdir(join(folder, 'some'))).toSorted()).toEqual(['adapter_config.json', 'config.json'])
})
