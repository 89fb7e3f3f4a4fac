import { baseKeys, countKey, dimensionsOf } from '../base.js'
import { count, countOrNone, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { float32, text, uint32 } from '../metadata.js'
import { tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** DeepSeek V1 with experts: grouped attention, small experts after some dense layers, some that every token passes. */
export const deepseek: Family = {
  architecture: 'deepseek',
  classes: ['DeepseekForCausalLM'],
  fields: {
    defaults: { tie_word_embeddings: false },
    supported: { moe_layer_freq: [1], scoring_func: ['softmax'], norm_topk_prob: [false] },
  },
  keys: (config) => [
    ...baseKeys(config),
    ['rope.dimension_count', uint32(dimensionsOf(config).headLength)],
    ['rope.scaling.type', text('none')],
    ...countKey(config, 'leading_dense_block_count', 'first_k_dense_replace'),
    ...countKey(config, 'vocab_size', 'vocab_size'),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ['expert_weights_scale', float32(1)],
    ...countKey(config, 'expert_count', 'n_routed_experts'),
    ...countKey(config, 'expert_shared_count', 'n_shared_experts'),
  ],
  tensors: (config) => {
    const { layers, hidden } = dimensionsOf(config)
    const dense = config.get(countOrNone, 'first_k_dense_replace')
    const experts = boundedExperts(config, layers - dense)
    const width = config.get(size, 'moe_intermediate_size')
    const shared = config.get(count, 'n_shared_experts')
    return decoderTensors(config, {
      attention: { bias: false, interleave: true },
      feedForward: ({ feedForward }, layer) =>
        layer < dense
          ? gatedFeedForward('mlp', hidden, feedForward, { bias: false })
          : [
              tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
              ...routedExperts('mlp.experts', experts, hidden, width),
              ...gatedFeedForward('mlp.shared_experts', hidden, shared * width, { bias: false, suffix: '_shexp' }),
            ],
    })
  },
  footprint: { attention: 'grouped', normalizedExperts: false },
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding' },
}
