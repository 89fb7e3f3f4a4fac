import { baseKeys } from '../base.js'
import { biasOf, decoderTensors } from '../decoder.js'
import { norm } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** Seed-OSS: as Llama, with biases of queries, keys and values. */
export const seedOss: Family = {
  architecture: 'seed_oss',
  classes: ['SeedOssForCausalLM'],
  fields: {
    defaults: {
      max_position_embeddings: 524_288,
      rms_norm_eps: 1e-6,
      rope_theta: 10_000,
      head_dim: 128,
      tie_word_embeddings: false,
    },
    derived: ({ num_attention_heads: heads }) => ({ num_key_value_heads: heads }),
    supported: { attention_out_bias: [false] },
  },
  keys: baseKeys,
  tensors: (config) =>
    decoderTensors(config, {
      norms: ({ hidden }) => [
        norm('input_layernorm', 'attn_norm', hidden),
        norm('post_attention_layernorm', 'post_attention_norm', hidden),
      ],
      attention: { bias: biasOf(config, 'attention_bias'), outputBias: false },
    }),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
}
