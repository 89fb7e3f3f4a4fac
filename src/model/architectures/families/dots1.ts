import { baseKeys, countKey, dimensionsOf, flagKey, floatKey } from '../base.js'
import { countOrNone, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** dots.llm1: attention as in Qwen3, experts as in DeepSeek V3. */
export const dots1: Family = {
  architecture: 'dots1',
  classes: ['Dots1ForCausalLM'],
  fields: {
    defaults: {
      max_position_embeddings: 2048,
      n_group: 1,
      rms_norm_eps: 1e-6,
      rope_theta: 10_000,
      routed_scaling_factor: 1,
      tie_word_embeddings: false,
      topk_group: 1,
    },
    supported: { scoring_func: ['sigmoid'], topk_method: ['noaux_tc'], moe_layer_freq: [1] },
    ignored: ['max_window_layers'],
  },
  keys: (config) => [
    ...baseKeys(config),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...countKey(config, 'leading_dense_block_count', 'first_k_dense_replace'),
    ...countKey(config, 'expert_shared_count', 'n_shared_experts'),
    ...floatKey(config, 'expert_weights_scale', 'routed_scaling_factor'),
    ...flagKey(config, 'expert_weights_norm', 'norm_topk_prob'),
  ],
  tensors: (config) => {
    const { layers, hidden, headLength } = dimensionsOf(config)
    const dense = config.get(countOrNone, 'first_k_dense_replace')
    const experts = boundedExperts(config, layers - dense)
    const width = config.get(size, 'moe_intermediate_size')
    const shared = width * (config.find(countOrNone, 'n_shared_experts') ?? 0)
    return decoderTensors(config, {
      attention: { bias: false, headNorm: headLength },
      feedForward: ({ feedForward }, layer) =>
        layer < dense
          ? gatedFeedForward('mlp', hidden, feedForward, { bias: false })
          : [
              tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
              tensor('mlp.gate.e_score_correction_bias', 'exp_probs_b.bias', [experts]),
              ...routedExperts('mlp.experts', experts, hidden, width),
              ...(shared > 0 ? gatedFeedForward('mlp.shared_experts', hidden, shared, { bias: false, suffix: '_shexp' }) : []),
            ],
    })
  },
  widths: { feedForward: true, embedding: 'plain' },
  quirks: { needsOutput: true },
}
