import { groupedAttention } from '../attention.js'
import { baseKeys, countKey } from '../base.js'
import { size } from '../config.js'
import { gatedFeedForward } from '../feed-forward.js'
import { expertTensors, qwenDefaults, qwenIgnored, windowed } from '../qwen.js'
import { tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** Qwen2 with routed experts and one that every token passes, scaled by a gate of its own. */
export const qwen2moe: Family = {
  architecture: 'qwen2moe',
  classes: ['Qwen2MoeForCausalLM'],
  fields: {
    defaults: { ...qwenDefaults, decoder_sparse_step: 1 },
    // llama.cpp does not divide the chosen experts' weights by their sum.
    supported: { ...windowed, qkv_bias: [true], norm_topk_prob: [false] },
    ignored: qwenIgnored,
  },
  keys: (config) => [
    ...baseKeys(config),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...countKey(config, 'expert_shared_feed_forward_length', 'shared_expert_intermediate_size'),
  ],
  tensors: (config) => {
    const shared = config.get(size, 'shared_expert_intermediate_size')
    return expertTensors(
      config,
      (dimensions) => groupedAttention(dimensions, { bias: true, outputBias: false }),
      ({ hidden }) => [
        ...gatedFeedForward('mlp.shared_expert', hidden, shared, { bias: false, suffix: '_shexp' }),
        tensor('mlp.shared_expert_gate.weight', 'ffn_gate_inp_shexp.weight', [1, hidden]),
      ],
    )
  },
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding' },
  quirks: { needsOutput: true },
}
