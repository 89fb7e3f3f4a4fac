import { groupedAttention } from '../attention.js'
import { baseKeys, countKey, type Dimensions, dimensionsOf } from '../base.js'
import { count, type ModelConfig, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { embeddingAndOutputTensors, withRoot } from '../embedding-and-output.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { bool, uint32 } from '../metadata.js'
import { poolingKeys } from '../pooling.js'
import { expertTensors, normedAttention, qwenDefaults, qwenExpertFields, qwenIgnored, windowed } from '../qwen.js'
import { blocks, norm, tensor } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'

// Models that write by taking noise away: attention sees all tokens, and a token stands for those that are not known yet.

const bothWays: Entry = ['attention.causal', bool(false)]

/** Dream: as Qwen2. */
export const dream: Family = {
  architecture: 'dream',
  classes: ['DreamModel'],
  fields: { defaults: qwenDefaults, supported: windowed, ignored: qwenIgnored },
  keys: async (config) => [
    ...baseKeys(config),
    ...(await poolingKeys(config)),
    bothWays,
    ...countKey(config, 'tokenizer.ggml.mask_token_id', 'mask_token_id'),
  ],
  tensors: (config) => decoderTensors(config, { attention: { bias: true, outputBias: false } }),
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding' },
  quirks: { rename: withRoot },
}

/** RND1: as Qwen3 with experts. */
export const rnd1: Family = {
  architecture: 'rnd1',
  classes: ['RND1'],
  fields: qwenExpertFields,
  keys: (config) => [
    ...baseKeys(config),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    bothWays,
    ...countKey(config, 'tokenizer.ggml.mask_token_id', 'mask_token_id'),
  ],
  tensors: (config) => expertTensors(config, normedAttention, () => []),
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
}

/** LLaDA: as Llama under other names. */
export const llada: Family = {
  architecture: 'llada',
  classes: ['LLaDAModelLM'],
  fields: {
    defaults: { max_sequence_length: 4096, rms_norm_eps: 1e-5, rope_theta: 10_000 },
    supported: {
      activation_type: ['silu'],
      attention_layer_norm: [false],
      bias_for_layer_norm: [false],
      block_type: ['llama'],
      include_bias: [false],
      include_qkv_bias: [false],
      input_emb_norm: [false],
      layer_norm_type: ['rms'],
      rope: [true],
      scale_logits: [false],
      weight_tying: [false],
    },
    ignored: [
      'block_group_size',
      'embedding_size',
      'flash_attention',
      'init_device',
      'init_fn',
      'layer_norm_with_affine',
      'mlp_ratio',
      'multi_query_attention',
      'precision',
      'rope_full_precision',
    ],
  },
  keys: async (config) => [
    ...baseKeys(config).filter(([key]) => key !== 'embedding_length' && key !== 'feed_forward_length'),
    ...(await poolingKeys(config)),
    ...countKey(config, 'vocab_size', 'vocab_size'),
    ['rope.dimension_count', uint32(shapeOf(config).headLength)],
    ...countKey(config, 'embedding_length', 'd_model'),
    ...countKey(config, 'feed_forward_length', 'mlp_hidden_size'),
    bothWays,
    ['diffusion.shift_logits', bool(false)],
  ],
  tensors: (config) => {
    const dimensions = shapeOf(config)
    const { hidden, layers, feedForward } = dimensions
    const root = 'model.transformer.'
    return [
      ...embeddingAndOutputTensors(config, dimensions, { root, embedding: 'wte', norm: 'ln_f', output: `${root}ff_out` }),
      ...blocks(`${root}blocks`, layers, () => [
        norm('attn_norm', 'attn_norm', hidden),
        norm('ff_norm', 'ffn_norm', hidden),
        ...groupedAttention(dimensions, { bias: false, interleave: true, from: '', names: { o: 'attn_out' } }),
        ...gatedFeedForward('', hidden, feedForward, { bias: false, names: ['ff_proj', 'up_proj', 'ff_out'] }),
      ]).map((mapping) => ({ ...mapping, name: mapping.name.replace('..', '.') })),
    ]
  },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
}

/** LLaDA-MoE: OLMoE's layers with norms of each head, looking both ways. */
export const lladaMoe: Family = {
  architecture: 'llada-moe',
  classes: ['LLaDAMoEModelLM', 'LLaDAMoEModel'],
  fields: {
    defaults: { tie_word_embeddings: false },
    supported: {
      qk_layernorm: [true],
      norm_topk_prob: [true, false],
      num_shared_experts: [0],
      shared_expert_intermediate_size: [],
      routed_scaling_factor: [1],
      moe_router_score_function: ['softmax'],
      moe_router_enable_expert_bias: [false],
    },
    ignored: ['dense_intermediate_size', 'moe_layer_freq', 'attention_dropout', 'router_num_group', 'router_topk_group'],
  },
  keys: (config) => [
    ...baseKeys(config),
    ...countKey(config, 'expert_feed_forward_length', 'expert_intermediate_size'),
    ['tokenizer.ggml.mask_token_id', uint32(lladaMask)],
    bothWays,
    ['diffusion.shift_logits', bool(false)],
  ],
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    const experts = boundedExperts(config, dimensions.layers)
    const width = config.get(size, 'expert_intermediate_size')
    return decoderTensors(config, {
      attention: { bias: false, headNorm: dimensions.headLength },
      feedForward: ({ hidden }) => [
        tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
        ...routedExperts('mlp.experts', experts, hidden, width),
      ],
    })
  },
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding' },
}

/** The id of its mask, which no file names. Source: LLaDAMoEModel of conversion/llada.py, llama.cpp v0.7.0. */
const lladaMask = 156_895

function shapeOf(config: ModelConfig): Dimensions {
  const heads = config.get(count, 'n_heads')
  const hidden = config.get(size, 'd_model')
  return {
    layers: config.get(count, 'n_layers'),
    vocabulary: config.get(size, 'vocab_size'),
    hidden,
    feedForward: config.get(size, 'mlp_hidden_size'),
    heads,
    keyValueHeads: config.find(count, 'n_kv_heads') ?? heads,
    headLength: Math.floor(hidden / heads),
  }
}
