import { baseKeys, dimensionsOf } from '../base.js'
import { decoderTensors } from '../decoder.js'
import { uint32 } from '../metadata.js'
import type { Family } from '../types.js'

/** Maincoder: as Qwen3, by another name. */
export const maincoder: Family = {
  architecture: 'maincoder',
  classes: ['MaincoderForCausalLM'],
  fields: { supported: { use_qk_norm: [true] } },
  keys: (config) => [
    ...baseKeys(config),
    ...(typeof config.fields['head_dim'] === 'number'
      ? [['rope.dimension_count', uint32(dimensionsOf(config).headLength)] as const]
      : []),
  ],
  tensors: (config) => decoderTensors(config, { attention: { bias: false, headNorm: dimensionsOf(config).headLength } }),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
}
