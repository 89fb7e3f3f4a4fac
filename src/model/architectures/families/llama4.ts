import { type Recipe, slice, transpose } from '../../../recipe/index.js'
import { countKey, dimensionsOf } from '../base.js'
import { count, listOf, type ModelConfig, size, word } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, gatedFeedForward } from '../feed-forward.js'
import { llamaKeys } from '../llama.js'
import { uint32 } from '../metadata.js'
import { ropeFrequencies } from '../rope.js'
import { split, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'

/** Llama 4: one expert beside a shared one, chunks of attention in three of four layers, the fourth without rotation. */
export const llama4: Family = {
  architecture: 'llama4',
  classes: ['Llama4ForConditionalGeneration', 'Llama4ForCausalLM'],
  fields: {
    defaults: {
      head_dim: 128,
      interleave_moe_layer_step: 1,
      intermediate_size: 8192,
      intermediate_size_mlp: 16_384,
      max_position_embeddings: 131_072,
      num_experts_per_tok: 1,
      num_key_value_heads: 8,
      num_local_experts: 16,
      rms_norm_eps: 1e-5,
      rope_theta: 500_000,
      tie_word_embeddings: false,
    },
    // llama.cpp knows the layers by their number, and the norms of queries and keys, which have no weights, by the number of experts.
    supported: {
      attention_chunk_size: [8192],
      attn_temperature_tuning: [true, 4, 1],
      attn_scale: [0.1],
      floor_scale: [8192],
      layer_types: (value) =>
        Array.isArray(value) && value.every((kind) => kind === 'chunked_attention' || kind === 'full_attention'),
      moe_layers: (value, { fields }) => {
        const step = Number(fields['interleave_moe_layer_step'])
        return Array.isArray(value) && value.every((layer, index) => layer === (index + 1) * step - 1)
      },
      no_rope_layers: (value) => Array.isArray(value) && value.every((turns, layer) => turns === Number((layer + 1) % 4 !== 0)),
      no_rope_layer_interval: [4],
      use_qk_norm: (value, { fields }) => value === (fields['num_local_experts'] !== 128),
    },
    ignored: ['for_llm_compressor'],
    ropeKinds: ['llama3'],
  },
  keys: (config) => [
    ...llamaKeys(dense(config)),
    ...countKey(config, 'interleave_moe_layer_step', 'interleave_moe_layer_step'),
    ...countKey(config, 'expert_feed_forward_length', 'intermediate_size'),
    ...withoutChunks(config),
  ],
  tensors: (config) => {
    const { layers, hidden } = dimensionsOf(config)
    const step = config.get(count, 'interleave_moe_layer_step')
    const experts = boundedExperts(config, layers)
    return decoderTensors(dense(config), {
      feedForward: ({ feedForward }, layer) =>
        (layer + 1) % step === 0
          ? expertTensors(config, experts, hidden)
          : gatedFeedForward('feed_forward', hidden, feedForward, { bias: false }),
    })
  },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: { computed: (config) => ropeFrequencies(config, dimensionsOf(config).headLength) },
}

/** Layers without experts are wider; transformers gives the usual name to the experts' width. */
function dense(config: ModelConfig): ModelConfig {
  return config.with({ intermediate_size: config.get(size, 'intermediate_size_mlp') })
}

/** No layer attends by chunks (MobileLLM). */
function withoutChunks(config: ModelConfig): Entry[] {
  const kinds = config.find(listOf(word), 'layer_types')
  return kinds?.every((kind) => kind === 'full_attention') === true ? [['attention.sliding_window', uint32(0)]] : []
}

/** Matrices of all experts in one tensor, with inputs as rows. */
function expertTensors(config: ModelConfig, experts: number, hidden: number): TensorMapping[] {
  const width = config.get(size, 'intermediate_size')
  return [
    tensor('feed_forward.router.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    split('feed_forward.experts.gate_up_proj', [experts, hidden, 2 * width], (input: Recipe) => {
      const both = transpose(input)
      return [
        { name: 'ffn_gate_exps.weight', recipe: slice(both, 1, 0, width) },
        { name: 'ffn_up_exps.weight', recipe: slice(both, 1, width, 2 * width) },
      ]
    }),
    tensor('feed_forward.experts.down_proj', 'ffn_down_exps.weight', [experts, width, hidden], { transform: transpose }),
    ...gatedFeedForward('feed_forward.shared_expert', hidden, width, { bias: false, suffix: '_shexp' }),
  ]
}
