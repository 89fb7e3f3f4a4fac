import { dimensionsOf, present } from '../base.js'
import { decoderTensors } from '../decoder.js'
import { headLength, llamaDefaults, llamaKeys } from '../llama.js'
import { float32 } from '../metadata.js'
import { ropeFrequencies } from '../rope.js'
import type { Family } from '../types.js'

/** Mistral Small 3.x, Ministral 3, Devstral: as Llama; Ministral 3 scales attention by position beyond its first context. */
export const mistral3: Family = {
  architecture: 'mistral3',
  classes: ['Mistral3ForConditionalGeneration', 'Ministral3ForCausalLM'],
  applies: ({ model_type: type }) => type !== 'mistral4',
  fields: {
    defaults: { ...llamaDefaults, num_key_value_heads: 8, rms_norm_eps: 1e-5 },
    derived: headLength,
    ropeKinds: ['llama3'],
    supported: {
      mscale: (value, { rope }) => value === rope.mscale_all_dim,
      llama_4_scaling_beta: (value, { fields }) => value === 0 || fields['model_type'] === 'ministral3',
    },
  },
  keys: (config) => [
    ...llamaKeys(config),
    ...(config.fields['model_type'] === 'ministral3'
      ? [
          ...present('rope.scaling.yarn_log_multiplier', config.rope.mscale_all_dim, float32),
          ...present('attention.temperature_scale', config.rope.llama_4_scaling_beta, float32),
        ]
      : []),
  ],
  tensors: (config) => decoderTensors(config, { attention: { bias: false, interleave: true } }),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: { computed: (config) => ropeFrequencies(config, dimensionsOf(config).headLength) },
}
