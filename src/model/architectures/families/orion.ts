import { countKey, fileTypePlace, floatKey, names } from '../base.js'
import { decoderTensors, preLayerNorms } from '../decoder.js'
import { text } from '../metadata.js'
import { plainRope } from '../rope.js'
import { type Family, layerNorms } from '../types.js'

/** Orion: a Llama with layer norms, whose epsilon config.json calls that of RMS norms. */
export const orion: Family = {
  architecture: 'orion',
  classes: ['OrionForCausalLM'],
  fields: {
    defaults: { rms_norm_eps: 1e-5, rope_theta: 10_000, tie_word_embeddings: false },
    derived: ({ num_attention_heads: heads }) => ({ num_key_value_heads: heads }),
    supported: plainRope,
  },
  keys: (config) => [
    fileTypePlace,
    ['tensor_data_layout', text('Meta AI original pth')],
    ...countKey(config, 'context_length', 'max_sequence_length', 'max_position_embeddings', 'model_max_length'),
    ...countKey(config, 'embedding_length', 'hidden_size'),
    ...countKey(config, 'block_count', ...names.layers),
    ...countKey(config, 'feed_forward_length', 'intermediate_size'),
    ...countKey(config, 'attention.head_count', 'num_attention_heads'),
    ...countKey(config, 'attention.head_count_kv', 'num_key_value_heads'),
    ...floatKey(config, 'attention.layer_norm_epsilon', 'rms_norm_eps'),
  ],
  tensors: (config) =>
    decoderTensors(config, {
      normBias: true,
      norms: preLayerNorms,
      attention: { bias: false },
    }),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, fixed: layerNorms },
}
