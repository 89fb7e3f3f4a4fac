import { baseKeys, countKey, dimensionsOf } from '../base.js'
import { decoderTensors } from '../decoder.js'
import { uint32 } from '../metadata.js'
import type { Family } from '../types.js'
import { adjustTokenizer } from './llama.js'

/** openPangu Embedded: as Llama, with biases of all projections of attention and in the order of the checkpoint. */
export const pangu: Family = {
  architecture: 'pangu-embedded',
  classes: ['PanguEmbeddedForCausalLM'],
  fields: {
    defaults: { max_position_embeddings: 32_768, rms_norm_eps: 1e-5, rope_theta: 10_000, tie_word_embeddings: false },
    supported: { bias: [true] },
  },
  keys: (config) => {
    const { headLength } = dimensionsOf(config)
    return [
      ...baseKeys(config),
      ...countKey(config, 'vocab_size', 'vocab_size'),
      ['rope.dimension_count', uint32(headLength)],
      ['attention.key_length', uint32(headLength)],
      ['attention.value_length', uint32(headLength)],
    ]
  },
  tensors: (config) => decoderTensors(config, { attention: { bias: true } }),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: { dropsTiedOutput: true, adjustTokenizer },
}
