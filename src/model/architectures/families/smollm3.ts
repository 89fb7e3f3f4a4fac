import { decoderTensors } from '../decoder.js'
import { llamaKeys } from '../llama.js'
import type { Family } from '../types.js'
import { adjustTokenizer } from './llama.js'

/** SmolLM 3: a Llama of which each fourth layer does not rotate. */
export const smollm3: Family = {
  architecture: 'smollm3',
  classes: ['SmolLM3ForCausalLM'],
  fields: {
    defaults: {
      max_position_embeddings: 32_768,
      num_key_value_heads: 4,
      rms_norm_eps: 1e-6,
      rope_theta: 2_000_000,
      tie_word_embeddings: true,
    },
    // llama.cpp knows the layers by their number.
    supported: {
      no_rope_layer_interval: [4],
      no_rope_layers: (value) => Array.isArray(value) && value.every((turns, layer) => turns === Number((layer + 1) % 4 !== 0)),
    },
    ignored: ['max_window_layers'],
  },
  keys: llamaKeys,
  tensors: (config) => decoderTensors(config, { attention: { interleave: true } }),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: { adjustTokenizer },
}
