import { dimensionsOf } from '../base.js'
import { decoderTensors } from '../decoder.js'
import { headLength, llamaDefaults, llamaKeys } from '../llama.js'
import { plainFeedForward } from '../plain-feed-forward.js'
import { poolingKeys } from '../pooling.js'
import { ropeFrequencies } from '../rope.js'
import type { Family } from '../types.js'
import { adjustTokenizer } from './llama.js'

/** Arcee (AFM): a Llama whose feed-forward part has no gate but a squared ReLU. */
export const arcee: Family = {
  architecture: 'arcee',
  classes: ['ArceeForCausalLM'],
  fields: {
    defaults: { ...llamaDefaults, max_position_embeddings: 4096, rms_norm_eps: 1e-5 },
    derived: headLength,
    supported: { hidden_act: ['relu2'] },
    ropeKinds: ['llama3'],
  },
  keys: async (config) => [...llamaKeys(config), ...(await poolingKeys(config))],
  tensors: (config) =>
    decoderTensors(config, {
      attention: { interleave: true },
      feedForward: ({ hidden, feedForward }) => plainFeedForward('mlp', hidden, feedForward),
    }),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: { computed: (config) => ropeFrequencies(config, dimensionsOf(config).headLength), adjustTokenizer },
}
