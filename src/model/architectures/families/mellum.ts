import { baseKeys, countKey, dimensionsOf, flagKey } from '../base.js'
import { flag, type ModelConfig } from '../config.js'
import { expertTensors, normedAttention, qwenDefaults } from '../qwen.js'
import type { Family } from '../types.js'
import { windowKeys } from '../windows.js'

/** Mellum 2: Qwen3 with experts, and a sliding window in most layers. */
export const mellum: Family = {
  architecture: 'mellum',
  classes: ['MellumForCausalLM'],
  fields: {
    defaults: { ...qwenDefaults, decoder_sparse_step: 1, head_dim: 128, max_position_embeddings: 131_072, norm_topk_prob: true },
    supported: { mlp_layer_types: (value) => Array.isArray(value) && value.every((type) => type === 'sparse') },
    ignored: ['max_window_layers'],
  },
  keys: (config) => [
    ...baseKeys(noteYarn(config)),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...(config.find(flag, 'use_sliding_window') === false ? [] : windowKeys(config, dimensionsOf(config).layers)),
    ...flagKey(config, 'expert_weights_norm', 'norm_topk_prob'),
  ],
  tensors: (config) => expertTensors(config, normedAttention, () => []),
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
}

/** Before 0.7.0 llama.cpp scales the rotations of all layers of this architecture in one way, at two bases. */
function noteYarn(config: ModelConfig): ModelConfig {
  const { kind, local } = config.rope
  const other = local?.kind ?? kind
  if (kind !== other) {
    config.notes.push(
      `llama.cpp before 0.7.0, such as the embedded one, scales the rotations of all layers (rope_parameters.full_attention has the type ${kind}), and the original those of layers with a sliding window as ${other}: its outputs differ.`,
    )
  }
  return config
}
