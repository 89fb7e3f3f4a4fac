import { baseKeys, dimensionsOf } from '../base.js'
import { decoderTensors, preLayerNorms } from '../decoder.js'
import { headLength } from '../llama.js'
import { uint32 } from '../metadata.js'
import { plainFeedForward } from '../plain-feed-forward.js'
import { type Family, layerNorms } from '../types.js'

/** Jais 2: layer norms and biases everywhere, a squared ReLU. */
export const jais2: Family = {
  architecture: 'jais2',
  classes: ['Jais2ForCausalLM'],
  fields: {
    defaults: { layer_norm_eps: 1e-5, max_position_embeddings: 8192, rope_theta: 500_000, tie_word_embeddings: false },
    derived: headLength,
    supported: { attention_bias: [true], hidden_act: ['relu2'], mlp_bias: [true] },
  },
  keys: (config) => [...baseKeys(config), ['rope.dimension_count', uint32(dimensionsOf(config).headLength)]],
  tensors: (config) =>
    decoderTensors(config, {
      normBias: true,
      norms: preLayerNorms,
      attention: { bias: true },
      feedForward: ({ hidden, feedForward }) => plainFeedForward('mlp', hidden, feedForward, { bias: true }),
    }),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, fixed: layerNorms },
}
