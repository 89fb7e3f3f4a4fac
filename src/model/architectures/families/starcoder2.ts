import { baseKeys } from '../base.js'
import { decoderTensors, preLayerNorms } from '../decoder.js'
import { plainFeedForward } from '../plain-feed-forward.js'
import { type Family, layerNorms } from '../types.js'

/** StarCoder 2: layer norms and biases everywhere, no gate. */
export const starcoder2: Family = {
  architecture: 'starcoder2',
  classes: ['Starcoder2ForCausalLM'],
  fields: {
    defaults: {
      max_position_embeddings: 4096,
      norm_epsilon: 1e-5,
      num_key_value_heads: 2,
      rope_theta: 10_000,
      tie_word_embeddings: true,
    },
    supported: {
      hidden_act: ['gelu_pytorch_tanh'],
      mlp_type: ['default'],
      norm_type: ['layer_norm'],
      use_bias: [true],
    },
  },
  keys: baseKeys,
  tensors: (config) =>
    decoderTensors(config, {
      normBias: true,
      norms: preLayerNorms,
      attention: { bias: true },
      feedForward: ({ hidden, feedForward }) =>
        plainFeedForward('mlp', hidden, feedForward, { bias: true, names: ['c_fc', 'c_proj'] }),
    }),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, fixed: layerNorms },
  quirks: { headsFillEmbedding: true },
}
