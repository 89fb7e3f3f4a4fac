import { baseKeys, dimensionsOf } from '../base.js'
import { finite, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { float32 } from '../metadata.js'
import type { Family } from '../types.js'

/** MiniCPM 1 and 2: a Llama that scales embedding, residual stream and logits. */
export const minicpm: Family = {
  architecture: 'minicpm',
  classes: ['MiniCPMForCausalLM'],
  fields: {
    defaults: { max_position_embeddings: 2048, rms_norm_eps: 1e-6, tie_word_embeddings: true },
    derived: ({ num_attention_heads: heads }) => ({ num_key_value_heads: heads }),
    // Its experts and longer contexts are not known here.
    supported: { num_experts: [0], attention_bias: [false] },
  },
  keys: (config) => {
    const { layers, hidden } = dimensionsOf(config)
    return [
      ...baseKeys(config),
      ['embedding_scale', float32(config.get(finite, 'scale_emb'))],
      ['residual_scale', float32(config.get(finite, 'scale_depth') / layers ** 0.5)],
      ['logit_scale', float32(hidden / config.get(size, 'dim_model_base'))],
    ]
  },
  tensors: (config) => decoderTensors(config, { attention: { bias: false, interleave: true } }),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
}
