import { baseKeys, dimensionsOf } from '../base.js'
import { decoderTensors } from '../decoder.js'
import { text, uint32 } from '../metadata.js'
import type { Family } from '../types.js'

/** XVERSE: as Llama. */
export const xverse: Family = {
  architecture: 'xverse',
  classes: ['XverseForCausalLM'],
  fields: {
    defaults: { max_position_embeddings: 2048, rms_norm_eps: 1e-6, tie_word_embeddings: false },
    // llama.cpp's converter takes another number of heads where queries and keys differ in it.
    supported: { num_key_value_heads: (value, { fields }) => value === fields['num_attention_heads'] },
    ignored: ['max_tokenizer_truncation'],
  },
  keys: (config) => [
    ...baseKeys(config),
    ['tensor_data_layout', text('Meta AI original pth')],
    ['rope.dimension_count', uint32(dimensionsOf(config).headLength)],
  ],
  tensors: (config) => decoderTensors(config, { attention: { bias: false, interleave: true } }),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding' },
}
