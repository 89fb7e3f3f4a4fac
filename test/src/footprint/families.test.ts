import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buffersOf, shapeOrRefuse, weightsBytes } from '../../../src/footprint/index.js'
import { makeBlueprint } from '../../../src/model/convert/index.js'
import { hollowModel } from '../../support/hollow-model.js'
import { llamaBuffers, writeHollowGguf } from '../../support/llama-buffers.js'

/** Of tiny checkpoints in bench/coverage, those whose families have a footprint. */
const cases =
  `llama mixtral qwen2 qwen3 qwen2-moe qwen3-moe gemma deepseek glm4 ministral3 minimax-m2 seed-oss smollm3 arcee granite
  granite-moe granite-moe-shared nemotron ernie4.5 olmo cohere stablelm stablelm-12b starcoder2 codeshell minicpm jais2 maincoder
  orion falcon falcon-40b internlm2 bailing-moe hunyuan-dense hunyuan-ocr xverse pangu-embedded glm-4-9b-hf refact
  ernie4.5-moe qwen2-vl paddleocr-vl glm4.5-air grovemoe arctic`.split(/\s+/)

/** Sizes as real models have them, by the fields of config.json. */
const sizes: Readonly<Record<string, number>> = {
  hidden_size: 4096,
  n_embd: 4096,
  d_model: 4096,
  intermediate_size: 14_336,
  n_inner: 16_384,
  ffn_hidden_size: 14_336,

  num_attention_heads: 32,
  n_head: 32,
  num_key_value_heads: 8,
  head_dim: 128,
  num_hidden_layers: 3,
  n_layer: 3,
  vocab_size: 100_352,

  max_position_embeddings: 32_768,
  n_positions: 65_536,
  moe_intermediate_size: 1024,
  num_experts: 64,
  num_local_experts: 64,
  n_routed_experts: 64,
  num_experts_per_tok: 6,
  shared_expert_intermediate_size: 2048,
  shared_intermediate_size: 2048,
}

function realSizes(config: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(config).map(([name, value]: [string, unknown]) => {
      if (name === 'text_config') return [name, realSizes(value as object)]
      return [name, typeof value === 'number' && value > 1 ? (sizes[name] ?? value) : value]
    }),
  )
}

const requests = [
  ...[512, 8192].flatMap((context) => [true, false].map((flashAttention) => ({ context, flashAttention }))),
  { context: 8192, cacheType: 'Q8_0', flashAttention: true } as const,
  { context: 4096, batch: 64 },
]

describe.skipIf(llamaBuffers === undefined)("footprint of families against llama.cpp's own report of its buffers", () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-footprint-families-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it.each(cases)('%s', { timeout: 60_000 }, async (name) => {
    const config = await readFile(`bench/coverage/checkpoints/cases/${name}/config.json`, 'utf8')
    const { metadata, tensors } = await hollowModel(realSizes(JSON.parse(config) as object))
    const path = join(folder, `${name}.gguf`)
    const { tensors: written } = await writeHollowGguf(path, metadata, tensors)
    const shape = shapeOrRefuse(await makeBlueprint(path))
    const reports = llamaBuffers?.report(path, requests) ?? []
    const ratios = requests.flatMap((request, index) => {
      const ours = { ...buffersOf(shape, request), modelBytes: weightsBytes({ tensors: written }) }
      const keys = ['kvCacheBytes', 'computeBytes', 'outputBytes', 'modelBytes'] as const
      return keys.map((key) => ({ ...request, key, ratio: ours[key] / (reports[index]?.[key] ?? Number.NaN) }))
    })
    // Two digits after the point of a MiB are all that llama.cpp tells of a logit row of 0.4 MB.
    expect(ratios.filter(({ ratio }) => !(Math.abs(ratio - 1) <= 0.03))).toEqual([])
    await rm(path)
  })
})
