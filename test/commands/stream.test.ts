import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeSafetensors } from '../../formats/safetensors/index.js'
import { smallTensor, writeCheckpoint } from '../support/checkpoints.js'
import { runMq } from '../support/run-mq.js'
import { runMqHere } from '../support/run-mq-here.js'
import { type FileAnswer, sendAndCut, sendAsAsked, type WaywardHub, waywardHub } from '../support/wayward-hub.js'

const [hidden, keys, vocabulary, shards] = [256, 64, 2048, 14]
const command = new URL('../../bin/run.js', import.meta.url).pathname

let folder = ''
let files: Record<string, Buffer> = {}
let largest = 0

const shardName = (index: number): string => `model-${String(index + 1).padStart(5, '0')}-of-000${shards}.safetensors`

/** A layer lies over two shards here and there, as in real checkpoints. */
function tensorsOf(index: number): [string, ...number[]][] {
  if (index === 0) return [['model.embed_tokens.weight', vocabulary, hidden]]
  if (index === shards - 1)
    return [
      ['lm_head.weight', vocabulary, hidden],
      ['model.norm.weight', hidden],
    ]
  const layer = `model.layers.${index - 1}`
  return [
    [`${layer}.input_layernorm.weight`, hidden],
    [`${layer}.mlp.down_proj.weight`, hidden, hidden],
    [`${layer}.mlp.gate_proj.weight`, hidden, hidden],
    [`${layer}.mlp.up_proj.weight`, hidden, hidden],
    [`${layer}.post_attention_layernorm.weight`, hidden],
    [`${layer}.self_attn.k_proj.weight`, keys, hidden],
    [`${layer}.self_attn.o_proj.weight`, hidden, hidden],
    [`${layer}.self_attn.q_proj.weight`, hidden, hidden],
    [`${layer}.self_attn.v_proj.weight`, keys, hidden],
  ]
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-stream-'))
  const local = join(folder, 'local')
  await writeCheckpoint(local, {
    config: {
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      hidden_size: hidden,
      intermediate_size: hidden,
      max_position_embeddings: 512,
      num_attention_heads: 4,
      num_hidden_layers: shards - 2,
      num_key_value_heads: 1,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: false,
      vocab_size: vocabulary,
    },
    tensors: { 'nothing.weight': ['F32', 1] },
  })
  await rm(join(local, 'model.safetensors'))
  const map: Record<string, string> = {}
  // Of a third of the layers, the attention lies in the next shard.
  const moved = (name: string): boolean => /layers\.\d*[147]\.self_attn/.test(name)
  const all = Array.from({ length: shards }, (_, index) => tensorsOf(index))
  const placed = all.map((own, index) => [
    ...own.filter(([name]) => !moved(name)),
    ...(all[index - 1] ?? []).filter(([name]) => moved(name)),
  ])
  for (const [index, own] of placed.entries()) {
    for (const [name] of own) map[name] = shardName(index)
    const tensors = own.map(([name, ...shape]) => smallTensor(name, 'BF16', shape))
    await writeSafetensors(join(local, shardName(index)), tensors)
  }
  const index = { metadata: { total_size: 1 }, weight_map: map }
  await writeFile(join(local, 'model.safetensors.index.json'), JSON.stringify(index))
  for (const name of await readdir(local)) files = { ...files, [name]: await readFile(join(local, name)) }
  largest = Math.max(
    ...Object.entries(files).flatMap(([name, { byteLength }]) => (name.endsWith('.safetensors') ? [byteLength] : [])),
  )
  await mq(['quantize', 'local', '--preset', 'Q4_K_M', '-o', 'expected.gguf', '--name', 'x'])
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function mq(args: string[], hub?: WaywardHub): Promise<{ exitCode: number | undefined; stderr: string }> {
  return await runMqHere(args, { cwd: folder, env: environment(hub) })
}

/** In a process of its own, so that the disk is looked at while it works. */
const apart = (args: string[], hub: WaywardHub): ReturnType<typeof runMq> => runMq(args, { cwd: folder, env: environment(hub) })

const environment = (hub?: WaywardHub): Record<string, string> => ({
  NODE_ENV: 'production',
  HF_HOME: join(folder, 'home'),
  ...(hub !== undefined && { HF_ENDPOINT: hub.url }),
})

const streamed = (output: string): string[] => `quantize hf:ns/model --stream --preset Q4_K_M -o ${output} --name x`.split(' ')

/** The most bytes that lie in a folder while something runs. */
async function peakOf<T>(place: string, work: Promise<T>): Promise<[T, number]> {
  let peak = 0
  const ending = new AbortController()
  const watch = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const names = await readdir(place).catch(() => [])
      const sizes = await Promise.all(
        names.map((name) =>
          stat(join(place, name)).then(
            ({ size }) => size,
            () => 0,
          ),
        ),
      )
      peak = Math.max(
        peak,
        sizes.reduce((sum, size) => sum + size, 0),
      )
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
  const watching = watch()
  try {
    return [await work, peak]
  } finally {
    ending.abort()
    await watching
  }
}

async function expectSame(output: string): Promise<void> {
  const [found, expected] = await Promise.all([output, 'expected.gguf'].map((name) => readFile(join(folder, name))))
  expect(found?.equals(expected as Buffer)).toBe(true)
  await expect(stat(join(folder, `${output}.stream`))).rejects.toMatchObject({ code: 'ENOENT' })
}

const weightsAsked = (hub: WaywardHub): string[] =>
  hub.requests.filter(
    (line) => line.includes('/resolve/') && line.includes('.safetensors') && !/index\.json|bytes=0-65535/.test(line),
  )

describe('shards from a hub', () => {
  test('come one by one, with no more than two on the disk, and give the same bytes as from a folder', async () => {
    await using hub = await waywardHub({ files })
    const [result, peak] = await peakOf(join(folder, 'one.gguf.stream'), apart(streamed('one.gguf'), hub))
    expect(result).toMatchObject({ exitCode: 0 })
    await expectSame('one.gguf')
    expect(peak).toBeGreaterThan(0)
    expect(peak).toBeLessThanOrEqual(2 * largest)
    // Each came once.
    expect(weightsAsked(hub)).toHaveLength(shards)
  })

  test('go on after a kill -9, without the shards that are done', async () => {
    await using hub = await waywardHub({ files })
    const child = execa(process.execPath, [command, ...streamed('two.gguf')], {
      cwd: folder,
      env: environment(hub),
      reject: false,
    })
    while (weightsAsked(hub).length < 6) await new Promise((resolve) => setTimeout(resolve, 5))
    child.kill('SIGKILL')
    await child
    const before = weightsAsked(hub).length
    expect((await readdir(join(folder, 'two.gguf.stream'))).length).toBeGreaterThan(0)
    const [result, peak] = await peakOf(join(folder, 'two.gguf.stream'), apart(streamed('two.gguf'), hub))
    expect(result).toMatchObject({ exitCode: 0 })
    await expectSame('two.gguf')
    expect(peak).toBeLessThanOrEqual(2 * largest)
    expect(weightsAsked(hub).length - before).toBeLessThanOrEqual(shards - before + 4)
  })

  test('come from a hub that errs', async () => {
    const isNth = (path: string, n: number): boolean => path === shardName(n)
    const wrong: FileAnswer = (request, response) => {
      const { path, bytes, count } = request
      if (request.end !== undefined || count > 1) return sendAsAsked(request, response)
      if (isNth(path, 3)) return void response.writeHead(503).end()
      if (isNth(path, 5)) return void response.writeHead(429, { 'Retry-After': '0' }).end()
      if (isNth(path, 7)) return sendAndCut(response, bytes, 1000)
      if (isNth(path, 9))
        return void response.writeHead(302, { Location: `${hub.url}/ns/model/resolve/x/${shardName(9)}?again` }).end()
      return sendAsAsked(request, response)
    }
    await using hub: WaywardHub = await waywardHub({ files, onFile: wrong })
    expect(await mq(streamed('three.gguf'), hub)).toMatchObject({ exitCode: 0 })
    await expectSame('three.gguf')
  })

  test('keep what is done where a shard is corrupt, and end well once it is not', async () => {
    let broken = true
    const wrong: FileAnswer = (request, response) => {
      const isBroken = broken && request.path === shardName(9) && request.end === undefined
      return sendAsAsked(isBroken ? { ...request, bytes: Buffer.alloc(request.bytes.byteLength) } : request, response)
    }
    await using hub = await waywardHub({ files, onFile: wrong })
    const failed = await mq(streamed('four.gguf'), hub)
    expect(failed).toMatchObject({ exitCode: 6, stderr: expect.stringContaining('DOWNLOAD_CORRUPT') as string })
    broken = false
    const before = weightsAsked(hub).length
    expect(await mq(streamed('four.gguf'), hub)).toMatchObject({ exitCode: 0 })
    await expectSame('four.gguf')
    expect(weightsAsked(hub).length - before).toBeLessThan(shards - 5)
  })

  test('are not for a budget, or a folder', async () => {
    await using hub = await waywardHub({ files })
    const budget = await mq(['quantize', 'hf:ns/model', '--stream', '--bits', '4', '-o', 'x.gguf'], hub)
    expect(budget).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('mq plan hf:ns/model') as string })
    expect(hub.requests).toEqual([])
    const local = await mq(['quantize', 'local', '--stream', '--type', 'Q8_0', '-o', 'x.gguf'])
    expect(local).toMatchObject({ exitCode: 2 })
  })
})
