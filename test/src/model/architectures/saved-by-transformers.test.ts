import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkpointSpecs, writeCheckpointOf } from '../../../../bench/coverage/checkpoints/index.js'
import { type BlueprintOptions, makeBlueprint } from '../../../../src/model/convert/index.js'

// Spellings of transformers 5.24: what save_pretrained writes of a model whose config.json on the hub is an older one.

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-saved-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const infinity = { __float__: 'Infinity' }

type Change = Readonly<Record<string, unknown>>

/** The blueprint of a checkpoint of the coverage matrix with other fields, without some tensors; undefined removes a field. */
async function saved(name: string, change: Change, { leaveOut, ...options }: BlueprintOptions & { leaveOut?: RegExp } = {}) {
  const spec = checkpointSpecs.find((spec) => spec.name === name) ?? expect.fail(`no ${name}`)
  const path = await writeCheckpointOf(spec, folder, spec.classes[0], leaveOut)
  const file = join(path, 'config.json')
  const text5 = (await readFile(file, 'utf8')).replaceAll(/\bInfinity\b/g, JSON.stringify(infinity))
  const config = JSON.parse(text5) as { text_config?: object }
  const text = config.text_config === undefined ? {} : { text_config: { ...config.text_config, ...change } }
  await writeFile(file, JSON.stringify({ ...config, ...change, ...text }))
  return makeBlueprint(path, options)
}

describe('another spelling of the same', () => {
  it.each<[string, Change, string]>([
    ['mamba2', { time_step_limit: [0, infinity] }, 'an infinite number'],
    ['falcon-h1', { time_step_limit: [0, infinity] }, 'an infinite number'],
    [
      'gemma4-dense',
      {
        global_head_dim: undefined,
        num_global_key_value_heads: undefined,
        per_layer_config: { '2': { head_dim: 32, num_key_value_heads: 1 }, '5': { head_dim: 32, num_key_value_heads: 1 } },
      },
      'fields of single layers',
    ],
    [
      'minimax-m2',
      {
        rotary_dim: undefined,
        rope_theta: undefined,
        rope_parameters: { rope_theta: 5e6, partial_rotary_factor: 0.5, rope_type: 'default' },
      },
      'a part of each head that is rotated',
    ],
    [
      'granite4-micro',
      { layer_types: ['full_attention', 'full_attention', 'full_attention', 'full_attention'] },
      'kinds of layers',
    ],
    [
      'nemotron-h',
      {
        hybrid_override_pattern: undefined,
        layers_block_type: ['linear_attention', 'mlp', 'linear_attention', 'full_attention', 'mlp', 'linear_attention'],
        n_routed_experts: 8,
        n_shared_experts: 1,
        num_experts_per_tok: 2,
        moe_intermediate_size: 7688,
        routed_scaling_factor: 1,
        time_step_limit: [0, infinity],
      },
      'kinds of layers, and numbers of experts of a model without any',
    ],
    ['glm5', { layer_types: ['indexed_attention', 'indexed_attention', 'indexed_attention'] }, 'attention by an indexer'],
    [
      'glm4.7-flash',
      { first_k_dense_replace: undefined, mlp_layer_types: ['dense', 'sparse', 'sparse'] },
      'kinds of feed-forward parts',
    ],
  ])('makes the same file of %s: %j', async (name, change) => {
    const before = await saved(name, {})
    const { metadata, tensors, notes } = await saved(name, change)
    expect(metadata).toEqual(before.metadata)
    expect(tensors.map((tensor) => [tensor.name, tensor.shape])).toEqual(
      before.tensors.map((tensor) => [tensor.name, tensor.shape]),
    )
    expect(notes).toEqual(before.notes)
  })

  it('takes the scale of what goes into the output matrix for its own field (T5 1.1 with a tied embedding)', async () => {
    const norm = ({ tensors }: Awaited<ReturnType<typeof saved>>) =>
      tensors.find(({ name }) => name === 'dec.output_norm.weight')?.recipe
    const tied = { tie_word_embeddings: true, scale_decoder_outputs: false }
    expect(norm(await saved('flan-t5', tied, { leaveOut: /^lm_head/ }))).toEqual(norm(await saved('flan-t5', {})))
    expect(norm(await saved('t5', { tie_word_embeddings: true, scale_decoder_outputs: true }))).toEqual(
      norm(await saved('t5', {})),
    )
  })
})

describe('layers for multi-token prediction that were not saved', () => {
  it.each([
    ['glm4.5-air', /layers\.3\./, 3],
    ['glm4.7-flash', /layers\.3\./, 3],
    ['deepseek-v3.2', /layers\.3\./, 3],
    ['hy3', /layers\.3\./, 3],
    ['glm-ocr', /layers\.2\./, 2],
    ['nemotron3-super-mtp', /^mtp\./, 6],
  ])('are not counted: %s', async (name, leaveOut, layers) => {
    const { metadata, architecture, notes } = await saved(name, {}, { leaveOut })
    expect(metadata.get(`${architecture}.block_count`)?.value).toBe(layers)
    expect(metadata.get(`${architecture}.nextn_predict_layers`)?.value ?? 0).toBe(0)
    expect(notes).toContainEqual(expect.stringContaining('the checkpoint has no layers for multi-token prediction'))
  })

  it.each(['glm4.5-air', 'qwen3-next'])('are not to be had alone: %s', async (name) => {
    const leaveOut = name === 'qwen3-next' ? /^mtp\./ : /layers\.3\./
    await expect(saved(name, {}, { leaveOut, mtp: 'only' })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })
})

it.each<[string, Change, string]>([['mellum2', {}, 'those of layers with a sliding window as default']])(
  'says where llama.cpp goes its own way: %s',
  async (name, change, note) => {
    expect((await saved(name, change)).notes).toContainEqual(expect.stringContaining(note))
  },
)

it('refuses fields of single layers that GGUF cannot say', async () => {
  const change = { per_layer_config: { '1': { head_dim: 32 } } }
  await expect(saved('gemma4-dense', change)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining('per_layer_config is {"1":{"head_dim":32}}') as string,
  })
})

describe('a tied embedding', () => {
  it.each([
    'olmo2',
    'qwen2-moe',
    'stablelm',
    'nemotron',
    'phi2',
    'gpt-neox',
    'olmoe',
    'minimax-m2',
    'dots1',
    'apertus',
    'gpt-oss-bf16',
  ])('is written twice where llama.cpp does not load a file without an output matrix: %s', async (name) => {
    const { tensors, notes } = await saved(name, { tie_word_embeddings: true }, { leaveOut: /^(?:lm_head|embed_out)\.weight/ })
    const recipe = (wanted: string) => tensors.find(({ name }) => name === wanted)?.recipe
    expect(recipe('output.weight')).toEqual(recipe('token_embd.weight'))
    expect(notes).toContainEqual(expect.stringContaining('the file holds the embedding twice'))
  })

  it.each(['llama', 'qwen3'])('is written once elsewhere: %s', async (name) => {
    const { tensors } = await saved(name, { tie_word_embeddings: true }, { leaveOut: /^lm_head\./ })
    expect(tensors.map(({ name }) => name)).not.toContain('output.weight')
  })
})

it.each(['qwen2', 'olmo2', 'nemotron', 'starcoder2', 'cohere', 'cohere2'])(
  'refuses heads that llama.cpp takes to be shorter: %s',
  async (name) => {
    await expect(saved(name, { head_dim: 48 })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('head_dim is 48, and llama.cpp takes') as string,
    })
  },
)

it('refuses scaled rotations that llama.cpp has no factors for', async () => {
  const rope = {
    rope_type: 'llama3',
    factor: 8,
    rope_theta: 1e4,
    original_max_position_embeddings: 32,
    low_freq_factor: 1,
    high_freq_factor: 4,
  }
  await expect(saved('smollm3', { rope_theta: undefined, rope_scaling: undefined, rope_parameters: rope })).rejects.toMatchObject(
    {
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('has the type llama3') as string,
    },
  )
})

it.each(['gemma', 'gemma2'])('refuses scaled rotations where the file has no keys for them: %s', async (name) => {
  const rope = { rope_type: 'linear', factor: 4, rope_theta: 1e4 }
  await expect(saved(name, { rope_theta: undefined, rope_parameters: rope })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
})
