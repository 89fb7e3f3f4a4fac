import { dimensionsOf } from '../base.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { llamaDefaults, llamaKeys } from '../llama.js'
import { norm, tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** Snowflake Arctic: as Llama, with experts beside a small feed-forward part that every token passes. */
export const arctic: Family = {
  architecture: 'arctic',
  classes: ['ArcticForCausalLM'],
  fields: {
    defaults: { ...llamaDefaults, max_position_embeddings: 4096, rms_norm_eps: 1e-5 },
    derived: ({ num_attention_heads: heads }) => ({ num_key_value_heads: heads }),
    supported: { moe_layer_frequency: [1], parallel_attn_mlp_res: [true], use_residual: [true] },
    ignored: [
      'enable_expert_tensor_parallelism',
      'enc_index',
      'max_sequence_length',
      'moe_eval_capacity_factor',
      'moe_min_capacity',
      'moe_token_dropping',
      'moe_train_capacity_factor',
      'quantization',
    ],
  },
  keys: llamaKeys,
  tensors: (config) => {
    const { layers, hidden, feedForward } = dimensionsOf(config)
    const experts = boundedExperts(config, layers)
    return decoderTensors(config, {
      norms: () => [
        norm('input_layernorm', 'attn_norm', hidden),
        norm('residual_layernorm', 'ffn_norm', hidden),
        norm('post_attention_layernorm', 'ffn_norm_exps', hidden),
      ],
      attention: { bias: false, interleave: true },
      feedForward: () => [
        ...gatedFeedForward('residual_mlp', hidden, hidden, { bias: false, names: ['w1', 'w3', 'w2'] }),
        tensor('block_sparse_moe.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
        ...routedExperts('block_sparse_moe.experts', experts, hidden, feedForward, {
          names: ['w1', 'w3', 'w2'],
          order: ['gate', 'down', 'up'],
        }),
      ],
    })
  },
  footprint: { attention: 'grouped', normalizedExperts: true },
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding' },
}
