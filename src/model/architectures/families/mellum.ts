import { baseKeys, countKey, dimensionsOf, flagKey } from '../base.js'
import { flag } from '../config.js'
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
    ...baseKeys(config),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...(config.find(flag, 'use_sliding_window') === false ? [] : windowKeys(config, dimensionsOf(config).layers)),
    ...flagKey(config, 'expert_weights_norm', 'norm_topk_prob'),
  ],
  tensors: (config) => expertTensors(config, normedAttention, () => []),
}
