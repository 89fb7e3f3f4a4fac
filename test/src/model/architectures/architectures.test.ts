import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeBlueprint } from '../../../../src/model/convert/index.js'
import { deepseekV2Lite, deepseekV3Mtp, llama3Rope, mistralLinear } from '../../../support/checkpoint-variants.js'
import { type SmallCheckpoint, writeCheckpoint } from '../../../support/checkpoints.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-architectures-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

type Change = Readonly<Record<string, unknown>>

/** The blueprint of a variant with some fields of config.json and some tensors changed; undefined removes one. */
async function blueprintOf(variant: SmallCheckpoint, config: Change = {}, tensors: Change = {}) {
  const changed = <T>(old: T, change: Change): T =>
    Object.fromEntries(Object.entries({ ...old, ...change }).filter(([, value]) => value !== undefined)) as T
  const path = join(folder, 'model')
  await writeCheckpoint(path, { ...variant, config: changed(variant.config, config), tensors: changed(variant.tensors, tensors) })
  return makeBlueprint(path)
}

describe('Llama', () => {
  it('writes the frequency factors that torch computes', async () => {
    const { tensors, metadata } = await blueprintOf(llama3Rope)
    const factors = tensors[0]
    expect(factors).toMatchObject({ name: 'rope_freqs.weight', shape: [32], keepF32: true })
    const values = factors?.recipe.op === 'constant' ? factors.recipe.values : []
    // torch 2.x, with llama.cpp's formula: see generate_extra_tensors of conversion/llama.py, v0.5.0.
    const repeated = (value: number, count: number): number[] => Array.from({ length: count }, () => value)
    const between = [1.6513292789459229, 3.2922627925872803, 9.666730880737305]
    expect(values).toEqual([...repeated(1, 15), ...between, ...repeated(32, 14)])
    expect([...metadata.keys()].filter((key) => key.includes('rope.scaling'))).toEqual([])
  })

  it('keeps tied embeddings as one tensor, and a head that is there nonetheless', async () => {
    const names = (blueprint: Awaited<ReturnType<typeof blueprintOf>>): string[] => blueprint.tensors.map(({ name }) => name)
    expect(names(await blueprintOf(llama3Rope))).not.toContain('output.weight')
    expect(names(await blueprintOf(llama3Rope, {}, { 'lm_head.weight': ['BF16', 2048, 96] }))).toContain('output.weight')
  })

  it('fills in what config.json leaves open, as transformers does', async () => {
    const { metadata } = await blueprintOf(
      mistralLinear,
      { num_key_value_heads: undefined, max_position_embeddings: undefined, num_attention_heads: 8, rope_theta: undefined },
      {
        'model.layers.0.self_attn.k_proj.weight': ['F16', 128, 128],
        'model.layers.0.self_attn.v_proj.weight': ['F16', 128, 128],
      },
    )
    expect(metadata.get('llama.attention.head_count_kv')?.value).toBe(8)
    expect(metadata.get('llama.attention.key_length')?.value).toBe(16)
    expect(metadata.get('llama.context_length')?.value).toBe(131_072)
    expect(metadata.get('llama.rope.freq_base')?.value).toBe(10_000)
  })

  it('says yarn in full, under the new name of the fields', async () => {
    const rope_parameters = {
      rope_type: 'yarn',
      rope_theta: 1e6,
      factor: 4,
      original_max_position_embeddings: 32768,
      attention_factor: 1.25,
      beta_fast: 16,
    }
    const { metadata, notes } = await blueprintOf(mistralLinear, { rope_scaling: null, rope_theta: undefined, rope_parameters })
    const scaling = [...metadata].filter(([key]) => key.startsWith('llama.rope.')).map(([key, { value }]) => [key, value])
    expect(scaling).toEqual([
      ['llama.rope.scaling.type', 'yarn'],
      ['llama.rope.scaling.factor', 4],
      ['llama.rope.scaling.original_context_length', 32768],
      ['llama.rope.scaling.yarn_attn_factor', 1.25],
      // llama.cpp multiplies by 0.1 ln 4 + 1 in any case
      ['llama.rope.scaling.attn_factor', Math.fround(1.25 / (0.1 * Math.log(4) + 1))],
      ['llama.rope.scaling.yarn_beta_fast', 16],
      ['llama.rope.freq_base', 1e6],
      ['llama.rope.dimension_count', 32],
    ])
    expect(notes).toContainEqual(expect.stringContaining('beta_fast and beta_slow of YaRN, which are 16 and 1 in config.json'))
  })

  it('says the usual factor of YaRN once', async () => {
    const rope_scaling = {
      rope_type: 'yarn',
      factor: 4,
      original_max_position_embeddings: 32768,
      attention_factor: 0.1 * Math.log(4) + 1,
    }
    const { metadata, notes } = await blueprintOf(mistralLinear, { rope_scaling })
    expect([...metadata.keys()].filter((key) => key.includes('attn_factor'))).toEqual(['llama.rope.scaling.yarn_attn_factor'])
    expect(notes.join()).not.toContain('YaRN')
    expect((await blueprintOf(mistralLinear, { rope_scaling: { ...rope_scaling, truncate: false } })).notes.join()).toContain(
      'truncate',
    )
  })

  it('says that dynamic scaling is lost', async () => {
    const { notes } = await blueprintOf(mistralLinear, { rope_scaling: { type: 'dynamic', factor: 2 } })
    expect(notes).toContainEqual(expect.stringContaining('Dynamic RoPE scaling'))
  })
})

describe('DeepSeek', () => {
  it('drops multi-token prediction layers and says so', async () => {
    const { tensors, notes, layers } = await blueprintOf(deepseekV3Mtp)
    expect(layers).toBe(1)
    expect(tensors.filter(({ layer }) => layer === 1)).toEqual([])
    expect(notes).toEqual([expect.stringMatching(/^Left out \d\d tensors of the multi-token prediction layer 1, /)])
  })

  it('takes V3 without the name of its scoring function for sigmoid, V2 for what llama.cpp assumes', async () => {
    const v3 = await blueprintOf(deepseekV3Mtp, { scoring_func: undefined })
    expect(v3.metadata.get('deepseek2.expert_gating_func')?.value).toBe(2)
    const v2 = await blueprintOf(deepseekV2Lite, { scoring_func: undefined })
    expect(v2.metadata.has('deepseek2.expert_gating_func')).toBe(false)
  })

  it('stacks experts by their number, not by their name', async () => {
    const many = Object.fromEntries(
      Array.from({ length: 12 }, (_, expert) =>
        (['gate', 'up', 'down'] as const).map((kind) => [
          `model.layers.1.mlp.experts.${expert}.${kind}_proj.weight`,
          kind === 'down' ? ['BF16', 64, 32] : ['BF16', 32, 64],
        ]),
      ).flat(),
    ) as Change
    const { tensors, experts } = await blueprintOf(
      deepseekV2Lite,
      { n_routed_experts: 12 },
      {
        ...many,
        'model.layers.1.mlp.gate.weight': ['BF16', 12, 64],
      },
    )
    expect(experts).toBe(12)
    const { recipe } = tensors.find(({ name }) => name === 'blk.1.ffn_up_exps.weight') ?? {}
    const inputs = recipe?.op === 'stack' ? recipe.inputs : []
    const starts = inputs.map((input) => (input.op === 'plain' ? input.range.start : -1))
    // The file holds them by name: 0, 1, 10, 11, 2 ...
    const byName = [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9].map((expert) => starts[expert])
    expect(byName).toEqual(byName.toSorted((a = 0, b = 0) => a - b))
  })
})

describe('what does not fit', () => {
  const attention = 'model.layers.0.self_attn'
  it.each<[string, SmallCheckpoint, Change, Change, string, string]>([
    [
      'an unknown architecture',
      llama3Rope,
      { architectures: ['NobodysForCausalLM'] },
      {},
      'ARCHITECTURE_UNKNOWN',
      'NobodysForCausalLM',
    ],
    ['no architecture', llama3Rope, { architectures: [] }, {}, 'ARCHITECTURE_UNKNOWN', '(none)'],
    [
      'an architecture as text',
      llama3Rope,
      { architectures: 'LlamaForCausalLM' },
      {},
      'CONFIG_INVALID',
      'architectures is "LlamaForCausalLM", where a list of class names is expected',
    ],
    ['a field of another kind', llama3Rope, { hidden_size: '96' }, {}, 'CONFIG_INVALID', 'hidden_size is "96"'],
    ['a missing field', llama3Rope, { vocab_size: undefined }, {}, 'CONFIG_INVALID', 'vocab_size'],
    [
      'a field beyond all bounds',
      llama3Rope,
      { num_hidden_layers: 1e9 },
      {},
      'CONFIG_INVALID',
      'num_hidden_layers is 1000000000',
    ],
    ['a field within another', llama3Rope, { rope_scaling: { factor: -1 } }, {}, 'CONFIG_INVALID', 'rope_scaling.factor'],
    ['linear scaling without a factor', llama3Rope, { rope_scaling: { type: 'linear' } }, {}, 'CONFIG_INVALID', 'lacks factor'],
    ['another scaling', llama3Rope, { rope_scaling: { type: 'longrope', factor: 2 } }, {}, 'CONFIG_INVALID', 'longrope'],
    [
      'exchanged bounds of frequencies',
      llama3Rope,
      { rope_scaling: { type: 'llama3', low_freq_factor: 2, high_freq_factor: 1 } },
      {},
      'CONFIG_INVALID',
      'low_freq',
    ],
    [
      'experts beyond all bounds',
      deepseekV2Lite,
      { n_routed_experts: 65_536 },
      {},
      'CONFIG_INVALID',
      'n_routed_experts is 65536',
    ],
    ['an odd head', llama3Rope, { head_dim: 63 }, {}, 'CONFIG_INVALID', 'head_dim'],
    [
      'attention biases where llama.cpp has none',
      deepseekV2Lite,
      { attention_bias: true },
      {},
      'CONFIG_INVALID',
      'attention_bias',
    ],
    ['experts in every second layer', deepseekV2Lite, { moe_layer_freq: 2 }, {}, 'CONFIG_INVALID', 'moe_layer_freq'],
    [
      'a missing tensor',
      llama3Rope,
      {},
      { [`${attention}.q_proj.bias`]: undefined },
      'TENSOR_MISSING',
      `${attention}.q_proj.bias`,
    ],
    ['a missing head', mistralLinear, {}, { 'lm_head.weight': undefined }, 'TENSOR_MISSING', 'lm_head.weight'],
    [
      'a missing expert',
      deepseekV2Lite,
      { n_routed_experts: 4 },
      { 'model.layers.1.mlp.gate.weight': ['BF16', 4, 64] },
      'TENSOR_MISSING',
      'experts.3.',
    ],
    [
      'a missing correction bias',
      deepseekV3Mtp,
      {},
      { 'model.layers.0.mlp.gate.e_score_correction_bias': undefined },
      'TENSOR_MISSING',
      'e_score',
    ],
    [
      'a tensor too many',
      llama3Rope,
      {},
      { 'model.layers.1.mlp.up_proj.weight': ['BF16', 48, 96] },
      'TENSOR_UNEXPECTED',
      'layers.1.',
    ],
    [
      'a wrong shape',
      llama3Rope,
      {},
      { [`${attention}.k_proj.weight`]: ['BF16', 64, 96] },
      'TENSOR_SHAPE',
      '[64, 96], but config.json implies [128, 96]',
    ],
  ])('is refused: %s', async (_, variant, config, tensors, code, words) => {
    await expect(blueprintOf(variant, config, tensors)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(words) as string,
    })
  })

  it.each([
    ['base_model.model.model.layers.0.mlp.up_proj.lora_A.weight', 'merge_and_unload()'],
    ['lm_head.modules_to_save.default.weight', 'merge_and_unload()'],
    ['module.lm_head.weight', 'without the wrapper whose names begin with "module."'],
    ['_orig_mod.lm_head.weight', 'without the wrapper whose names begin with "_orig_mod."'],
    ['model.model.norm.weight', 'without the wrapper whose names begin with "model."'],
    ['model.layers.0.mlp.up_proj.weight_scale', 'remove the scales from the weight files'],
    ['score.weight', 'a regression or classification head'],
    ['model.surprise.weight', 'Check that config.json belongs to these weights'],
  ])('says how %s may have come there', async (name, advice) => {
    await expect(blueprintOf(llama3Rope, {}, { [name]: ['BF16', 8, 96] })).rejects.toMatchObject({
      code: 'TENSOR_UNEXPECTED',
      suggestion: expect.stringContaining(advice),
    })
  })

  it('leaves out scales of a quantized KV cache', async () => {
    const { notes } = await blueprintOf(
      llama3Rope,
      {},
      { [`${attention}.k_scale`]: ['F32', 1], [`${attention}.v_scale`]: ['F32', 1] },
    )
    expect(notes).toContain('Left out 2 tensors with scales of a quantized KV cache, which llama.cpp computes itself.')
  })

  it('names what is supported and has the nearest name', async () => {
    await expect(blueprintOf(llama3Rope, { architectures: ['LlamaForCausalLn'] })).rejects.toMatchObject({
      suggestion: expect.stringMatching(/Closest of \d+ supported architectures: .*LlamaForCausalLM/) as string,
    })
  })
})
