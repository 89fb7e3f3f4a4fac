import { dimensionsOf } from '../base.js'
import { count, flag } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { headLength, llamaDefaults, llamaKeys } from '../llama.js'
import { bool, uint32 } from '../metadata.js'
import { ropeFrequencies } from '../rope.js'
import type { Family } from '../types.js'
import { adjustTokenizer } from './llama.js'

/** Nanbeige 4.2: a Llama whose layers are passed several times. */
export const nanbeige: Family = {
  architecture: 'nanbeige',
  classes: ['NanbeigeForCausalLM'],
  fields: { defaults: llamaDefaults, derived: headLength, ropeKinds: ['llama3'] },
  keys: (config) => [
    ...llamaKeys(config),
    ['num_loops', uint32(config.find(count, 'num_loops') ?? 1)],
    ['skip_loop_final_norm', bool(config.find(flag, 'skip_loop_final_norm') ?? false)],
  ],
  tensors: (config) => decoderTensors(config, { attention: { interleave: true } }),
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: { computed: (config) => ropeFrequencies(config, dimensionsOf(config).headLength), adjustTokenizer },
}
