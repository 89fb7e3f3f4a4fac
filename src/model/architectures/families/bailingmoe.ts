import { normalize } from '../../../recipe/index.js'
import { baseKeys, countKey, dimensionsOf, flagKey } from '../base.js'
import { count, flag, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { isTied } from '../embedding-and-output.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { splitAttention } from '../fused-attention.js'
import { float32, uint32 } from '../metadata.js'
import { tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** Ling and Ring 1: one matrix for queries, keys and values, many small experts, and for some an output matrix of columns of length 1. */
export const bailingMoe: Family = {
  architecture: 'bailingmoe',
  classes: ['BailingMoeForCausalLM'],
  fields: {
    defaults: { tie_word_embeddings: false },
    supported: {
      // llama.cpp gives experts to every layer, and has no biases.
      first_k_dense_replace: [0],
      multi_gate: [false],
      norm_softmax: [false],
      use_bias: [false],
      use_qkv_bias: [false],
    },
    ignored: ['embedding_type', 'max_window_layers'],
  },
  keys: (config) => [
    ...baseKeys(config),
    ['rope.dimension_count', uint32(dimensionsOf(config).headLength)],
    ...countKey(config, 'leading_dense_block_count', 'first_k_dense_replace'),
    ...countKey(config, 'vocab_size', 'vocab_size'),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ['expert_weights_scale', float32(1)],
    ...countKey(config, 'expert_shared_count', 'num_shared_experts'),
    ...flagKey(config, 'expert_weights_norm', 'norm_topk_prob'),
  ],
  tensors: (config) => {
    const experts = boundedExperts(config, dimensionsOf(config).layers)
    const width = config.get(size, 'moe_intermediate_size')
    const shared = width * config.get(count, 'num_shared_experts')
    const normalized = config.find(flag, 'norm_head') === true
    if (normalized && isTied(config)) {
      throw config.unsupported('norm_head is true, and the output matrix is the token embedding, which is not normalized')
    }
    return decoderTensors(config, {
      embedding: 'word_embeddings',
      ...(normalized && { outputTransform: (weight) => normalize('unit-columns', weight) }),
      attention: (dimensions) =>
        splitAttention(dimensions, { input: 'attention.query_key_value', output: 'attention.dense' }, true),
      feedForward: ({ hidden }) => [
        tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
        ...routedExperts('mlp.experts', experts, hidden, width),
        ...gatedFeedForward('mlp.shared_experts', hidden, shared, { bias: false, suffix: '_shexp' }),
      ],
    })
  },
  footprint: { attention: 'grouped', normalizedExperts: 'key' },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
}
