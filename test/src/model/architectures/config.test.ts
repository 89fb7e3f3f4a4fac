import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkpointSpecs, writeCheckpointOf } from '../../../../bench/coverage/checkpoints/index.js'
import { makeBlueprint } from '../../../../src/model/convert/index.js'
import { deepseekV2Lite, deepseekV3Mtp, llama3Rope, mistralLinear } from '../../../support/checkpoint-variants.js'
import { type SmallCheckpoint, writeCheckpoint } from '../../../support/checkpoints.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-config-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

type Change = Readonly<Record<string, unknown>>

/** The blueprint of a variant with other fields and further tensors; undefined removes a field. */
async function blueprintOf(variant: SmallCheckpoint, config: Change = {}, tensors: SmallCheckpoint['tensors'] = {}) {
  const path = join(folder, 'model')
  await writeCheckpoint(path, {
    ...variant,
    config: { ...variant.config, ...config },
    tensors: { ...variant.tensors, ...tensors },
  })
  return makeBlueprint(path)
}

/** The blueprint of a checkpoint of the coverage matrix with other fields; undefined removes one. */
async function changedSpec(name: string, change: Change) {
  const spec = checkpointSpecs.find((spec) => spec.name === name) ?? expect.fail(`no ${name}`)
  const path = await writeCheckpointOf(spec, folder)
  const file = join(path, 'config.json')
  const config = JSON.parse(await readFile(file, 'utf8')) as { text_config?: object }
  const text = config.text_config === undefined ? {} : { text_config: { ...config.text_config, ...change } }
  await writeFile(file, JSON.stringify({ ...config, ...change, ...text }))
  return makeBlueprint(path)
}

const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 4096 }

const head = { 'lm_head.weight': ['BF16', 2048, 96] } as const

it('misses the biases that every Qwen2 has', async () => {
  const qwen2 = { architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2', rope_scaling: undefined, attention_bias: undefined }
  await expect(blueprintOf(mistralLinear, qwen2)).rejects.toMatchObject({
    code: 'TENSOR_MISSING',
    message: expect.stringContaining('self_attn.q_proj.bias') as string,
  })
})

it.each(['num_hidden_layers', 'intermediate_size'])('names a field that is missing as most models do: %s', async (field) => {
  await expect(blueprintOf(llama3Rope, { [field]: undefined })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining(`: ${field} is missing`),
  })
})

describe('a field that changes the computation', () => {
  it.each<[string, SmallCheckpoint, Change]>([
    ['hidden_act', llama3Rope, { hidden_act: 'relu' }],
    ['hidden_act', deepseekV3Mtp, { hidden_act: 'gelu_pytorch_tanh' }],
    ['partial_rotary_factor', llama3Rope, { partial_rotary_factor: 0.5 }],
    ['attn_logit_softcapping', llama3Rope, { attn_logit_softcapping: 50 }],
    ['layer_types', llama3Rope, { layer_types: ['sliding_attention'] }],
    ['rope_interleave', deepseekV3Mtp, { rope_interleave: false }],
    ['qk_layernorm', mistralLinear, { qk_layernorm: true }],
    ['use_bias', mistralLinear, { use_bias: true }],
    ['add_cross_attention', mistralLinear, { add_cross_attention: true }],
    ['rope_scaling.mscale', deepseekV2Lite, { rope_scaling: { ...rope(deepseekV2Lite), mscale: 1 } }],
    [
      'rope_parameters.llama_4_scaling_beta',
      mistralLinear,
      { rope_parameters: { ...rope(mistralLinear), llama_4_scaling_beta: 0.1 } },
    ],
    ['rope_scaling.alpha', mistralLinear, { rope_scaling: { ...rope(mistralLinear), alpha: 1000 } }],
    ['topk_method', deepseekV3Mtp, { topk_method: 'greedy' }],
    ['rope_scaling.mrope_interleaved', llama3Rope, { rope_scaling: { ...rope(llama3Rope), mrope_interleaved: true } }],
  ])('is refused by name and value: %s', async (field, variant, config) => {
    const value = Object.values(config)[0]
    const shown = typeof value === 'object' && !Array.isArray(value) ? '' : JSON.stringify(value)
    await expect(blueprintOf(variant, config)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(`${field} is ${shown}`) as string,
      suggestion: 'This is a limitation of llama.cpp, not a fault of the file: run the model with the library it was made for.',
    })
  })

  it('is noted where biases are there that config.json does not ask for', async () => {
    const { notes } = await blueprintOf(llama3Rope, { attention_bias: false })
    expect(notes).toEqual([expect.stringMatching(/has \d+ biases that config.json does not ask for \(attention_bias\)/)])
    expect((await blueprintOf(llama3Rope)).notes).toEqual([])
  })

  it.each(['attn_logit_softcapping', 'final_logit_softcapping'])('is refused where a Gemma 2 has no %s', async (field) => {
    const spec = checkpointSpecs.find(({ name }) => name === 'gemma2') ?? expect.fail('no gemma2')
    const path = await writeCheckpointOf(spec, folder)
    await expect(makeBlueprint(path)).resolves.toBeDefined()
    const config = JSON.parse(await readFile(join(path, 'config.json'), 'utf8')) as object
    await writeFile(join(path, 'config.json'), JSON.stringify({ ...config, [field]: null }))
    await expect(makeBlueprint(path)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(`${field} is null, and llama.cpp caps the logits of this architecture in any case`),
    })
  })

  it.each<[string, Change, string]>([
    ['qwen2-moe', { norm_topk_prob: true }, 'norm_topk_prob is true'],
    ['bert', { is_decoder: true }, 'is_decoder is true'],
    ['phi2', { num_key_value_heads: 2 }, 'num_key_value_heads is 2'],
    ['phi3', { head_dim: 8 }, 'head_dim is 8'],
    ['pangu-embedded', { bias: false }, 'bias is false'],
    ['mpt', { ffn_config: { ffn_act_fn: { name: 'relu' } } }, 'ffn_config is'],
    ['mpt', { attn_config: { alibi: true, sliding_window_size: 64 } }, 'attn_config.sliding_window_size is 64'],
    ['mpt', { attn_config: { alibi: true, wobble: 1 } }, 'attn_config.wobble is'],
    ['llama4', { use_qk_norm: false }, 'use_qk_norm is false'],
    ['llada-moe', { routed_scaling_factor: 2.5 }, 'routed_scaling_factor is 2.5'],
    ['ernie4.5-moe', { moe_norm_min: 0.5 }, 'moe_norm_min is 0.5'],
    ['gemma3n', { activation_sparsity_pattern: [0.95, 0.95, 0, 0, 0] }, 'activation_sparsity_pattern is'],
    ['gemma3n', { num_kv_shared_layers: 2 }, 'num_kv_shared_layers is 2'],
    [
      'deepseek-v3',
      { rope_scaling: { ...yarn, attention_factor: 1.3, mscale_all_dim: 1, mscale: 1 } },
      'has an attention_factor',
    ],
    ['deepseek-v3', { rope_scaling: yarn }, 'has no mscale_all_dim'],
    ['exaone4', { num_hidden_layers: 2, layer_types: ['sliding_attention', 'sliding_attention'] }, 'sliding_window is 4096'],
  ])('is refused by the family that llama.cpp does not compute it for: %s %j', async (name, change, problem) => {
    await expect(changedSpec(name, change)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(problem),
    })
    await expect(changedSpec(name, {})).resolves.toBeDefined()
  })

  it.each<[string, Change, string]>([
    ['qwen2', { dual_chunk_attention_config: { chunk_size: 77 } }, 'only up to 77 tokens'],
    ['phi3', { sliding_window: 77 }, 'only up to 77 tokens'],
    ['phimoe', { router_jitter_noise: 0.01 }, 'weights its experts by SparseMixer'],
    ['deepseek-v2', { n_group: 2, topk_group: 1, topk_method: 'group_limited_greedy' }, 'chooses groups of experts by the sum'],
    [
      'qwen2',
      { model_type: 'gemma' },
      "the class Qwen2ForCausalLM in architectures, and the model_type gemma, by which transformers'",
    ],
    ['stablelm', { use_qkv_bias: false }, 'biases that config.json does not ask for (use_qkv_bias)'],
    ['falcon-mamba', { mixer_rms_eps: 0.5 }, 'with the epsilon of the other norms, 0.00001, and config.json has 0.5 for them'],
    ['qwen2', { norm_eps: 0.5 }, 'has rms_norm_eps 0.000001 and norm_eps 0.5 for the same thing: rms_norm_eps is used'],
  ])('is noted with its limit: %s %j', async (name, change, note) => {
    expect((await changedSpec(name, change)).notes).toContainEqual(expect.stringContaining(note))
  })

  it('is read where another spelling of it has a default', async () => {
    const { metadata } = await changedSpec('qwen2', { norm_eps: 0.5, rms_norm_eps: undefined })
    expect(metadata.get('qwen2.attention.layer_norm_rms_epsilon')?.value).toBe(0.5)
  })

  it('scales attention as Phi-3.5-MoE names it, and says where one factor does not do', async () => {
    const { metadata, notes } = await changedSpec('phimoe', {})
    expect(metadata.get('phimoe.rope.scaling.attn_factor')?.value).toBeCloseTo(1.243163121016122, 6)
    expect(notes.join()).not.toContain('long_mscale')
    const spec = checkpointSpecs.find(({ name }) => name === 'phimoe') ?? expect.fail('no phimoe')
    const path = await writeCheckpointOf(spec, folder)
    const { rope_scaling } = JSON.parse(await readFile(join(path, 'config.json'), 'utf8')) as { rope_scaling: Change }
    const changed = await changedSpec('phimoe', { rope_scaling: { ...rope_scaling, long_mscale: 1.5 } })
    expect(changed.notes).toContainEqual(expect.stringContaining('scales attention by long_mscale'))
  })

  it.each<[Change, string]>([
    [{ num_experts_per_tok: 99 }, 'each token uses 99 experts, and there are'],
    [{ n_group: 3, topk_group: 1 }, 'experts cannot be chosen from 1 of 3 groups'],
    [{ n_group: 2, topk_group: 3 }, 'experts cannot be chosen from 3 of 2 groups'],
  ])('is refused where experts do not fit: %j', async (config, problem) => {
    await expect(blueprintOf(deepseekV3Mtp, config)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(problem),
    })
  })

  it.each<[string, Change, string]>([
    [
      'two descriptions that differ',
      { rope_scaling: { type: 'linear', factor: 2 }, rope_parameters: { rope_type: 'yarn', factor: 2 } },
      'rope_parameters and rope_scaling contradict each other',
    ],
    [
      'two bases',
      { rope_scaling: undefined, rope_parameters: { rope_type: 'linear', factor: 4, rope_theta: 5e5 } },
      'rope_theta is 1000000, and rope_theta in rope_parameters or rope_scaling is 500000',
    ],
    ['two lengths', { rope_scaling: { ...rope(mistralLinear), partial_rotary_factor: 0.5 }, partial_rotary_factor: 1 }, 'is 0.5'],
    ['a factor of no kind', { rope_scaling: { factor: 4 } }, 'rope_scaling has a factor of 4 and no rope_type'],
  ])('is refused where rotations have %s', async (_, config, problem) => {
    await expect(blueprintOf(mistralLinear, config)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(problem),
      suggestion: expect.stringContaining('with the same file of the original model'),
    })
  })

  it.each<[string, SmallCheckpoint, Change]>([
    ['the same activation', llama3Rope, { hidden_act: 'swish' }],
    [
      'its neutral value',
      llama3Rope,
      { partial_rotary_factor: 1, attn_logit_softcapping: null, layer_types: ['full_attention'] },
    ],
    ['the value that llama.cpp computes with', deepseekV3Mtp, { rope_interleave: true }],
  ])('passes without a note at %s', async (_, variant, config) => {
    const { notes } = await blueprintOf(variant, config)
    expect(notes).toEqual((await blueprintOf(variant)).notes)
  })
})

describe('a bias that neither the model class nor llama.cpp has', () => {
  const qwen2 = {
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    rope_scaling: undefined,
    use_sliding_window: false,
  }
  const tensors = {
    'model.layers.0.self_attn.q_proj.bias': ['F16', 128],
    'model.layers.0.self_attn.k_proj.bias': ['F16', 32],
    'model.layers.0.self_attn.v_proj.bias': ['F16', 32],
    'model.layers.0.self_attn.o_proj.bias': ['F16', 128],
  } as const

  it('is refused', async () => {
    await expect(blueprintOf(mistralLinear, qwen2, tensors)).rejects.toMatchObject({
      code: 'TENSOR_UNEXPECTED',
      message: expect.stringContaining('self_attn.o_proj.bias'),
      suggestion: expect.stringContaining('transformers ignores a bias'),
    })
  })

  it('is left out of a GPTQ checkpoint, with a note, since GPTQ writes zeros for every matrix', async () => {
    const quantization_config = { quant_method: 'gptq', bits: 4 }
    const { notes, tensors: placed } = await blueprintOf(mistralLinear, { ...qwen2, quantization_config }, tensors)
    expect(notes).toContainEqual(expect.stringMatching(/^Left out 1 tensor with biases that the model does not have: GPTQ/))
    expect(placed.map(({ name }) => name).filter((name) => name.endsWith('.bias'))).toEqual([
      'blk.0.attn_k.bias',
      'blk.0.attn_q.bias',
      'blk.0.attn_v.bias',
    ])
  })
})

describe('a sliding window', () => {
  it('is noted with the limit within which the file is like the original', async () => {
    const { notes } = await blueprintOf(mistralLinear, { sliding_window: 77 })
    expect(notes).toEqual([expect.stringMatching(/sliding window .* 77: .* only up to 77 tokens/)])
  })

  it.each<Change>([
    { sliding_window: null },
    { sliding_window: 0 },
    { sliding_window: 32_768 },
    { sliding_window: 64, use_sliding_window: false },
  ])('needs no note where it limits nothing: %j', async (config) => {
    expect((await blueprintOf(mistralLinear, config)).notes).toEqual([])
  })
})

describe('a note', () => {
  it('does not count biases of a vision encoder as those of the text model', async () => {
    expect((await changedSpec('llava', {})).notes.join()).not.toContain('biases')
  })

  it('does not take a value that the family puts in place of another for one of params.json', async () => {
    const spec = checkpointSpecs.find(({ name }) => name === 'mistral-large3-params') ?? expect.fail('no params.json')
    const { notes } = await makeBlueprint(await writeCheckpointOf(spec, folder))
    expect(notes.join()).not.toContain('for the same thing')
  })

  it.each<[Change, string | undefined]>([
    [{ sliding_window: 77, max_window_layers: 0 }, 'has one of 77: the model matches the original only up to 77 tokens'],
    [{ sliding_window: 77, max_window_layers: 99 }, undefined],
    [{ sliding_window: null, max_window_layers: 0 }, undefined],
    [{ sliding_window: 1e9, max_window_layers: 0 }, undefined],
  ])('says that windows of upper layers are missing where there are some: %j', async (change, note) => {
    const { notes } = await changedSpec('qwen2', { use_sliding_window: true, ...change })
    if (note === undefined) expect(notes.join()).not.toContain('sliding window')
    else expect(notes.join()).toContain(note)
  })
})

describe('a field that nobody knows', () => {
  it('is listed with the others in one note', async () => {
    const { notes } = await blueprintOf(llama3Rope, {
      frobnicate: 3,
      twiddle: { a: 1 },
      nothing: null,
      rope_scaling: { ...rope(llama3Rope), wobble: 2 },
    })
    expect(notes).toEqual([expect.stringContaining('ignored: frobnicate, twiddle, rope_scaling.wobble.')])
  })

  it.each([
    ['gemma3n', 'tie_word_embeddings, since its embedding is always the output matrix'],
    ['north-mini-code', 'first_k_dense_replace, from which the kinds of its layers are worked out'],
    ['qwen3-omni', 'fields of the parts that hear and speak'],
    ['step3-vl', 'fields of the parts that see'],
  ])('is none that the family knows or leaves out: %s has %s', async (name) => {
    expect((await changedSpec(name, {})).notes.join()).not.toContain('does not know')
    expect((await changedSpec(name, { frobnicate: 3 })).notes.join()).toContain('ignored: frobnicate.')
  })

  it('is none of those that every checkpoint has', async () => {
    expect((await blueprintOf(llama3Rope, { use_cache: true, dtype: 'bfloat16', initializer_range: 0.02 })).notes).toEqual([])
  })
})

describe('spellings', () => {
  const { rope_scaling, rope_theta, ...rest } = llama3Rope.config
  const scaling = { ...(rope_scaling as Change), rope_theta }
  const { rope_type, ...old } = rope_scaling as { rope_type: string }
  it.each<[string, Change]>([
    ['rope_parameters', { rope_parameters: scaling }],
    ['rope_parameters by layer type', { rope_parameters: { full_attention: scaling } }],
    ['rope_scaling with type', { rope_theta, rope_scaling: { ...old, type: rope_type } }],
    ['a capital letter', { rope_theta, rope_scaling: { ...old, rope_type: 'Llama3' } }],
  ])('of rotation are read alike: %s', async (_, config) => {
    const expected = await blueprintOf(llama3Rope)
    const path = await writeCheckpoint(join(folder, 'other'), { ...llama3Rope, config: { ...rest, ...config } })
    const { metadata, tensors, notes } = await makeBlueprint(path)
    const keys = (all: typeof metadata) => [...all].filter(([key]) => key.startsWith('llama.'))
    expect(keys(metadata)).toEqual(keys(expected.metadata))
    expect(tensors[0]).toEqual(expected.tensors[0])
    expect(notes).toEqual([])
  })

  it('of a text model within another are read as at the root', async () => {
    const expected = await blueprintOf(llama3Rope)
    const { architectures, ...text } = llama3Rope.config
    const path = await writeCheckpoint(join(folder, 'other'), {
      ...llama3Rope,
      config: { architectures, model_type: 'outer', text_config: { ...text, architectures: ['InnerModel'] } },
    })
    const { metadata } = await makeBlueprint(path)
    const keys = (all: typeof metadata) => [...all].filter(([key]) => key.startsWith('llama.'))
    expect(keys(metadata)).toEqual(keys(expected.metadata))
  })
})

describe('an output matrix in a checkpoint whose embeddings are tied', () => {
  it.each<[string, SmallCheckpoint, SmallCheckpoint['tensors']]>([
    ['llama', llama3Rope, head],
    ['deepseek2', deepseekV2Lite, { 'lm_head.weight': ['BF16', 2048, 64] }],
  ])('is kept where it differs, with a note: %s', async (_, variant, more) => {
    const { tensors, notes } = await blueprintOf(variant, {}, more)
    expect(tensors.map(({ name }) => name)).toContain('output.weight')
    expect(notes).toEqual([expect.stringMatching(/ties .* lm_head\.weight differs .* kept/)])
  })
})

function rope({ config }: SmallCheckpoint): Change {
  return config['rope_scaling'] as Change
}
