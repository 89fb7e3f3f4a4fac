import * as v from 'valibot'
import { mistralFormat } from '../../checkpoint/index.js'
import { groupedAttention } from '../attention.js'
import { present } from '../base.js'
import { type Fields, finite, flag, isFields, type ModelConfig, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { gatedFeedForward } from '../feed-forward.js'
import { latentFields, latentKeys, latentTensors } from '../latent-model.js'
import { llamaKeys } from '../llama.js'
import { float32, text, uint32 } from '../metadata.js'
import { norm } from '../tensor-mappings.js'
import type { Entry, Family, FieldTable, Quirks } from '../types.js'

// Models in Mistral's own form: params.json, consolidated.safetensors, tekken.json. Source: conversion/mistral.py, llama.cpp v0.7.0.

/** Fields of params.json by the names of transformers. */
function derived(params: Fields): Fields {
  return {
    hidden_act: params['activation'] ?? 'silu',
    // Older files say nothing; vLLM takes this length.
    max_position_embeddings: params['max_seq_len'] ?? 128_000,
    tie_word_embeddings: params['tied_embeddings'] ?? false,
  }
}

const fields: FieldTable = {
  derived,
  supported: { causal: [true], activation: ['silu'] },
  ignored: [
    'max_seq_len',
    'max_batch_size',
    'tied_embeddings',
    'vision_encoder',
    'multimodal',
    'quantization',
    'quantization_config',
    'ragged_attention',
  ],
}

const yarn = v.looseObject({
  factor: finite,
  alpha: finite,
  beta: finite,
  original_max_position_embeddings: size,
  apply_scale: v.nullish(flag),
})

/** Keys of yarn and of the scaling of attention by position, with the names that params.json gives them. */
function scalingKeys(config: ModelConfig): Entry[] {
  const scaling = config.find(yarn, 'yarn')
  const position = config.find(v.looseObject({ beta: finite }), 'llama_4_scaling')
  return [
    ...(scaling === undefined
      ? []
      : ([
          ['rope.scaling.type', text('yarn')],
          ['rope.scaling.factor', float32(scaling.factor)],
          ['rope.scaling.yarn_beta_fast', float32(scaling.beta)],
          ['rope.scaling.yarn_beta_slow', float32(scaling.alpha)],
          ['rope.scaling.yarn_log_multiplier', float32(scaling.apply_scale === true ? 0 : 1)],
          ['rope.scaling.original_context_length', uint32(scaling.original_max_position_embeddings)],
        ] as const)),
    ...present('attention.temperature_scale', position?.beta, float32),
  ]
}

/** The converter counts the tokens of dense models where it writes them. */
const quirks: Quirks = {
  adjustTokenizer: (entries, _, config) => {
    const place = entries.findIndex(([key]) => key === 'tokenizer.ggml.token_type') + 1
    const tokens = entries.find(([key]) => key === 'tokenizer.ggml.tokens')?.[1].value
    const key: Entry = [`${architectureOf(config.fields)}.vocab_size`, uint32(Array.isArray(tokens) ? tokens.length : 0)]
    return entries.toSpliced(place, 0, key)
  },
}

function hasExperts({ moe }: Fields): boolean {
  return isFields(moe)
}

/** Only models of late 2025 and after scale attention by position: the others are Llama's. */
function architectureOf(params: Fields): 'llama' | 'mistral3' {
  return 'llama_4_scaling' in params ? 'mistral3' : 'llama'
}

const dense: Omit<Family, 'architecture'> = {
  classes: [mistralFormat],
  fields,
  keys: (config) => [...llamaKeys(config).filter(([key]) => key !== 'vocab_size'), ...scalingKeys(config)],
  tensors: (config) =>
    decoderTensors(config, {
      root: '',
      embedding: 'tok_embeddings',
      output: 'output',
      norms: ({ hidden }) => [norm('attention_norm', 'attn_norm', hidden), norm('ffn_norm', 'ffn_norm', hidden)],
      // Rows of queries and keys are in ggml's order of rotation.
      attention: (dimensions) =>
        groupedAttention(dimensions, { bias: false, from: 'attention', names: { q: 'wq', k: 'wk', v: 'wv', o: 'wo' } }),
      feedForward: ({ hidden, feedForward }) =>
        gatedFeedForward('feed_forward', hidden, feedForward, { bias: false, names: ['w1', 'w3', 'w2'] }),
    }),
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks,
}

/** Mistral 7B to Devstral. */
export const mistralParams: Family = {
  ...dense,
  architecture: 'llama',
  applies: (params) => !hasExperts(params) && architectureOf(params) === 'llama',
}

/** Ministral 3. */
export const mistral3Params: Family = {
  ...dense,
  architecture: 'mistral3',
  applies: (params) => !hasExperts(params) && architectureOf(params) === 'mistral3',
}

/** Names of params.json's `moe` by those of DeepSeek's configuration. */
const expertFields = {
  moe_layer_freq: 'route_every_n',
  first_k_dense_replace: 'first_k_dense_replace',
  num_experts_per_tok: 'num_experts_per_tok',
  n_routed_experts: 'num_experts',
  moe_intermediate_size: 'expert_hidden_dim',
  routed_scaling_factor: 'routed_scale',
  n_shared_experts: 'num_shared_experts',
  n_group: 'num_expert_groups',
  topk_group: 'num_expert_groups_per_tok',
} as const

/** Names of tensors by those of DeepSeek's checkpoints. */
const latentNames: readonly (readonly [RegExp, string])[] = [
  [/^tok_embeddings\./, 'model.embed_tokens.'],
  [/^norm\./, 'model.norm.'],
  [/^output\./, 'lm_head.'],
  [/^layers\./, 'model.layers.'],
  [/\.attention_norm\./, '.input_layernorm.'],
  [/\.ffn_norm\./, '.post_attention_layernorm.'],
  [/\.attention\.wkv_a_with_mqa\./, '.self_attn.kv_a_proj_with_mqa.'],
  [/\.attention\.(q_a|kv_a)_norm\./, '.self_attn.$1_layernorm.'],
  [/\.attention\.wo\./, '.self_attn.o_proj.'],
  [/\.attention\.w(q|q_a|q_b|kv_b)\./, '.self_attn.$1_proj.'],
  [/(\d)\.(gate|experts|shared_experts)\./, '$1.mlp.$2.'],
  [/\.feed_forward\./, '.mlp.'],
  [/\.w1\./, '.gate_proj.'],
  [/\.w2\./, '.down_proj.'],
  [/\.w3\./, '.up_proj.'],
]

/** Mistral Large 3: latent attention and experts, as DeepSeek V3. */
export const mistralMoeParams: Family = {
  architecture: 'deepseek2',
  classes: [mistralFormat],
  applies: (params) => hasExperts(params) && 'kv_lora_rank' in params,
  fields: {
    ...fields,
    derived: (params) => ({
      ...derived(params),
      hidden_size: params['dim'],
      rms_norm_eps: params['norm_eps'],
      num_key_value_heads: params['n_kv_heads'],
      num_hidden_layers: params['n_layers'],
      num_attention_heads: params['n_heads'],
      intermediate_size: params['hidden_dim'],
      norm_topk_prob: true,
      scoring_func: 'softmax',
      ...Object.fromEntries(
        Object.entries(expertFields).map(([name, own]) => [name, isFields(params['moe']) ? params['moe'][own] : undefined]),
      ),
    }),
    supported: { ...fields.supported, ...latentFields.supported },
    ignored: [...(fields.ignored ?? []), ...(latentFields.ignored ?? []), 'moe', 'dim', 'norm_eps', 'n_layers', 'hidden_dim'],
  },
  keys: (config) => {
    const original = config.find(yarn, 'yarn')?.original_max_position_embeddings
    const scaling = scalingKeys(config).map(
      // A tenth, for llama.cpp's reader multiplies it by ten again: llama.cpp pull request 17945.
      ([key, value]): Entry => [key, key === 'rope.scaling.yarn_log_multiplier' ? float32(0.1) : value],
    )
    return [...latentKeys(config), ...scaling, ...present('attention.temperature_length', original, uint32)]
  },
  tensors: (config) => latentTensors(config),
  widths: { feedForward: true, embedding: 'plain' },
  quirks: { rename: (name) => latentNames.reduce((found, [pattern, to]) => found.replace(pattern, to), name) },
}
