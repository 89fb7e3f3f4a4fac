import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buffersOf, cacheTypes, shapeOrRefuse, weightsBytes } from '../../../src/footprint/index.js'
import { makeBlueprint } from '../../../src/model/convert/index.js'
import { hollowModel } from '../../support/hollow-model.js'
import { type ContextRequest, llamaBuffers, writeHollowGguf } from '../../support/llama-buffers.js'
import { deepseekHeader, deepseekR1Header, llamaHeader, type ModelHeader } from '../../support/model-shapes.js'
import { blueprintOf } from '../plan/allocate/blueprints.js'

/** Shapes of well-known models, and some that no model has. */
const shapes: Readonly<Record<string, ModelHeader>> = {
  'Llama 3.1 8B': llamaHeader({ hidden: 4096, width: 14_336, heads: 32, groups: 8, layers: 32, vocabulary: 128_256 }),
  'Llama 3.1 70B': llamaHeader({ hidden: 8192, width: 28_672, heads: 64, groups: 8, layers: 80, vocabulary: 128_256 }),
  'Llama 2 7B, without shared heads': llamaHeader({
    hidden: 4096,
    width: 11_008,
    heads: 32,
    groups: 32,
    layers: 32,
    vocabulary: 32_000,
  }),
  'one wide key-value head': llamaHeader({
    hidden: 1024,
    width: 1024,
    heads: 8,
    groups: 1,
    headLength: 512,
    layers: 2,
    vocabulary: 1024,
  }),
  'Mixtral 8x7B': llamaHeader({
    hidden: 4096,
    width: 14_336,
    heads: 32,
    groups: 8,
    layers: 32,
    vocabulary: 32_000,
    experts: [8, 2],
  }),
  'DeepSeek-V2-Lite': deepseekHeader({
    hidden: 2048,
    width: 10_944,
    expertWidth: 1408,
    experts: 64,
    used: 6,
    shared: 2,
    sigmoid: false,
    heads: 16,
    latent: 512,
    plain: 128,
    rotated: 64,
    valueLength: 128,
    layers: 27,
    dense: 1,
    vocabulary: 102_400,
  }),
  'DeepSeek-R1': deepseekR1Header,
}

/** config.json of well-known models of further families, as far as it says their shape. */
const configs: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'Qwen2.5 7B': {
    architectures: ['Qwen2ForCausalLM'],
    hidden_size: 3584,
    intermediate_size: 18_944,
    num_attention_heads: 28,
    num_hidden_layers: 28,
    num_key_value_heads: 4,
    vocab_size: 152_064,
  },
  'Qwen3 8B': {
    architectures: ['Qwen3ForCausalLM'],
    hidden_size: 4096,
    intermediate_size: 12_288,
    num_attention_heads: 32,
    num_hidden_layers: 36,
    num_key_value_heads: 8,
    vocab_size: 151_936,
  },
  'Qwen3 30B A3B': {
    architectures: ['Qwen3MoeForCausalLM'],
    hidden_size: 2048,
    intermediate_size: 6144,
    moe_intermediate_size: 768,
    head_dim: 128,
    num_attention_heads: 32,
    num_hidden_layers: 48,
    num_key_value_heads: 4,
    num_experts: 128,
    num_experts_per_tok: 8,
    vocab_size: 151_936,
  },
}

const requests: readonly ContextRequest[] = [
  ...[256, 512, 2048, 8192, 32_768].flatMap((context) => [true, false].map((flashAttention) => ({ context, flashAttention }))),
  ...cacheTypes.map((cacheType) => ({ context: 8192, cacheType })),
  ...[64, 2048].map((batch) => ({ context: 4096, batch })),
]

describe.skipIf(llamaBuffers === undefined)("footprint against llama.cpp's own report of its buffers", () => {
  let folder: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-footprint-'))
  })

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  /** Where we differ from llama.cpp by more than its report's two digits after the point of a MiB and a thousandth. */
  async function differences(name: string, { metadata, tensors }: ModelHeader): Promise<unknown[]> {
    const path = join(folder, `${name.replaceAll(/\W+/g, '-')}.gguf`)
    const { tensors: written } = await writeHollowGguf(path, metadata, tensors)
    const shape = shapeOrRefuse(await makeBlueprint(path))
    const reports = llamaBuffers?.report(path, requests) ?? []
    return requests.flatMap((request, index) => {
      const reported = reports[index]
      const ours = { ...buffersOf(shape, request), modelBytes: weightsBytes({ tensors: written }) }
      const keys = ['kvCacheBytes', 'computeBytes', 'outputBytes', 'modelBytes'] as const
      return keys.flatMap((key) => {
        const theirs = reported?.[key] ?? Number.NaN
        const isNear = Math.abs(ours[key] - theirs) <= Math.max(0.005 * 2 ** 20 + 1, theirs / 1000)
        return isNear ? [] : [{ ...request, key, ours: ours[key], theirs }]
      })
    })
  }

  it.each(Object.entries(shapes))('%s', async (name, header) => {
    expect(await differences(name, header)).toEqual([])
  })

  it.each(Object.entries(configs))('%s', async (name, config) => {
    expect(await differences(name, await hollowModel(config))).toEqual([])
  })

  it.each(['samples/llama-kjv', 'samples/deepseek-kjv-moe'])('%s', async (path) => {
    expect(await differences(path, await makeBlueprint(path))).toEqual([])
  })
})

describe('shapeOrRefuse', () => {
  it('refuses a model whose metadata do not say what attention keeps', () => {
    const silent = blueprintOf({
      architecture: 'mamba',
      layers: 1,
      experts: 0,
      heads: 1,
      groups: 1,
      tensors: [['blk.0.ssm_in.weight', [64, 64]]],
    })
    expect(() => shapeOrRefuse(silent)).toThrow(/mamba/)
  })
})
