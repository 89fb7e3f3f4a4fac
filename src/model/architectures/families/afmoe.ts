import { groupedAttention } from '../attention.js'
import { countKey, dimensionsOf, flagKey, floatKey } from '../base.js'
import { count, countOrNone, type Fields, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { llamaKeys } from '../llama.js'
import { linear, norm, tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'
import { windowPattern } from '../windows.js'
import { adjustTokenizer } from './llama.js'

/** Trinity (Arcee): gated attention with norms of each head, a window in three layers of four, experts chosen by sigmoids. */
export const afmoe: Family = {
  architecture: 'afmoe',
  classes: ['AfmoeForCausalLM'],
  fields: {
    // Source: AfmoeConfig of transformers.
    defaults: {
      head_dim: 128,
      max_position_embeddings: 16_384,
      num_dense_layers: 1,
      num_experts_per_tok: 6,
      num_shared_experts: 2,
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      route_scale: 1,
      sliding_window: 1024,
      tie_word_embeddings: false,
    },
    derived: ({ num_attention_heads: heads }: Fields): Fields => ({ num_key_value_heads: heads }),
    supported: {
      layer_types: windowPattern(4),
      global_attn_every_n_layers: [4],
      mup_enabled: [true],
      n_group: [1],
      topk_group: [1],
    },
    ignored: ['num_expert_groups', 'num_limited_groups', 'load_balance_coeff', 'use_grouped_mm'],
  },
  keys: (config) => [
    ...llamaKeys(config),
    ...countKey(config, 'expert_shared_count', 'num_shared_experts'),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...countKey(config, 'leading_dense_block_count', 'num_dense_layers'),
    ...flagKey(config, 'expert_weights_norm', 'route_norm'),
    ...floatKey(config, 'expert_weights_scale', 'route_scale'),
    ...countKey(config, 'attention.sliding_window', 'sliding_window'),
  ],
  tensors: (config) => {
    const { layers } = dimensionsOf(config)
    const dense = config.get(countOrNone, 'num_dense_layers')
    const experts = boundedExperts(config, layers - dense)
    const width = config.get(size, 'moe_intermediate_size')
    return decoderTensors(config, {
      norms: ({ hidden }) => [
        norm('input_layernorm', 'attn_norm', hidden),
        norm('post_attention_layernorm', 'post_attention_norm', hidden),
        norm('pre_mlp_layernorm', 'ffn_norm', hidden),
        norm('post_mlp_layernorm', 'post_ffw_norm', hidden),
      ],
      attention: (dimensions) => [
        ...groupedAttention(dimensions, { bias: false, headNorm: dimensions.headLength }),
        ...linear('self_attn.gate_proj', 'attn_gate', [dimensions.heads * dimensions.headLength, dimensions.hidden], {
          bias: false,
        }),
      ],
      feedForward: ({ hidden, feedForward }, layer) =>
        layer < dense
          ? gatedFeedForward('mlp', hidden, feedForward, { bias: false })
          : [
              tensor('mlp.router.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
              tensor('mlp.expert_bias', 'exp_probs_b.bias', [experts]),
              ...routedExperts('mlp.experts', experts, hidden, width, { order: ['gate', 'up', 'down'] }),
              ...gatedFeedForward('mlp.shared_experts', hidden, width * config.get(count, 'num_shared_experts'), {
                bias: false,
                suffix: '_shexp',
              }),
            ],
    })
  },
  widths: { feedForward: true, embedding: 'scaled' },
  roles: { attn_gate: 'attention-qkv' },
  quirks: { adjustTokenizer },
}
