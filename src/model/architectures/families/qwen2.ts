import { groupedAttention } from '../attention.js'
import { baseKeys } from '../base.js'
import { decoderTensors } from '../decoder.js'
import { withRoot } from '../embedding-and-output.js'
import { poolingKeys } from '../pooling.js'
import { denseTensors, ofThinker, qwenDefaults, qwenIgnored, windowed } from '../qwen.js'
import type { Family } from '../types.js'

/** The text model of Qwen2-VL, Qwen2.5-VL and Qwen2.5-Omni: Qwen2 with positions along three axes. */
export const qwen2vl: Family = {
  architecture: 'qwen2vl',
  classes: ['Qwen2VLForConditionalGeneration', 'Qwen2VLModel', 'Qwen2_5_VLForConditionalGeneration', 'Qwen2_5OmniModel'],
  fields: { defaults: qwenDefaults, supported: windowed, ignored: qwenIgnored, ropeKinds: ['mrope'] },
  keys: baseKeys,
  // Qwen2VLModel is the whole, with an output matrix.
  tensors: (config) => decoderTensors(config, { attention: { bias: true, outputBias: false } }),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding' },
  quirks: { rename: ofThinker, isSeventyBillion: (layers) => layers === 80 },
}

/** Qwen2 and 2.5: as Llama, with biases of queries, keys and values. */
export const qwen2: Family = {
  architecture: 'qwen2',
  classes: [
    'Qwen2ForCausalLM',
    'Qwen2Model',
    'Qwen2AudioForConditionalGeneration',
    'AudioFlamingo3ForConditionalGeneration',
    'DotsOCRForCausalLM',
    'KORMoForCausalLM',
  ],
  fields: { defaults: qwenDefaults, supported: { ...windowed, attention_bias: [true] }, ignored: qwenIgnored },
  keys: async (config) => [...baseKeys(config), ...(await poolingKeys(config))],
  tensors: (config) => denseTensors(config, (dimensions) => groupedAttention(dimensions, { bias: true, outputBias: false })),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding' },
  quirks: {
    isSeventyBillion: (layers) => layers === 80,
    rename: (name) => withRoot(name).replace(/\.pre_(attention|mlp)_layernorm\./, kormoNorm),
  },
}

/** KORMo has names of its own for the two norms of a layer. */
function kormoNorm(_: string, part: string): string {
  return part === 'attention' ? '.input_layernorm.' : '.post_attention_layernorm.'
}
