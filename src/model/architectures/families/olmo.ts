import type { GroupedOptions } from '../attention.js'
import { baseKeys, dimensionsOf, floatKey, names } from '../base.js'
import { count, type ModelConfig } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, routedExperts } from '../feed-forward.js'
import { float32 } from '../metadata.js'
import { postNorms } from '../norms.js'
import { tensor } from '../tensor-mappings.js'
import { type Family, keysAsWide, layerNorms } from '../types.js'
import { windowKeys, windowPattern } from '../windows.js'

/** Source: the Config classes of transformers. */
const defaults = { max_position_embeddings: 2048, rope_theta: 10_000, tie_word_embeddings: false }

const keyValueHeads = ({ num_attention_heads: heads }: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => ({
  num_key_value_heads: heads,
})

/** OLMo: norms without weights, values clamped before attention. */
export const olmo: Family = {
  architecture: 'olmo',
  classes: ['OlmoForCausalLM', 'OLMoForCausalLM'],
  fields: { defaults, derived: keyValueHeads },
  keys: (config) => [
    ...baseKeys(config),
    ['attention.layer_norm_epsilon', float32(1e-5)],
    ...floatKey(config, 'attention.clamp_kqv', 'clip_qkv'),
  ],
  tensors: (config) =>
    // The norms have no weights: the last has no row.
    decoderTensors(config, { norms: () => [], attention: { bias: false, interleave: true } }).filter(
      ({ name }) => name !== 'model.norm.weight',
    ),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, fixed: layerNorms },
}

/** OLMo 2 and 3: norms after each part and of whole queries and keys; OLMo 3 has windows in three of four layers. */
export const olmo2: Family = {
  architecture: 'olmo2',
  classes: ['Olmo2ForCausalLM', 'Olmo3ForCausalLM'],
  fields: {
    defaults: { ...defaults, rms_norm_eps: 1e-5 },
    classDefaults: { Olmo3ForCausalLM: { sliding_window: 4096 } },
    derived: keyValueHeads,
    supported: { layer_types: windowPattern(4) },
  },
  keys: (config) => [
    ...baseKeys(config),
    ...windowKeys(config, config.get(count, ...names.layers), (layer) => (layer + 1) % 4 !== 0),
  ],
  tensors: (config) => decoderTensors(config, { norms: postNorms, attention: wholeNorms(config) }),
  widths: { feedForward: true, embedding: 'stream-read', heads: 'with-embedding' },
  quirks: { needsOutput: true },
}

/** OLMoE: routed experts, whose weights are not divided by their sum, and norms of whole queries and keys. */
export const olmoe: Family = {
  architecture: 'olmoe',
  classes: ['OlmoeForCausalLM'],
  fields: {
    defaults: { ...defaults, max_position_embeddings: 4096, num_experts: 64, num_experts_per_tok: 8, rms_norm_eps: 1e-5 },
    derived: keyValueHeads,
    // llama.cpp's converter writes this epsilon whatever config.json says.
    supported: { norm_topk_prob: [false], rms_norm_eps: [1e-5] },
  },
  keys: (config) => [...baseKeys(config), ['attention.layer_norm_rms_epsilon', float32(1e-5)]],
  tensors: (config) => {
    const experts = boundedExperts(config, config.get(count, ...names.layers))
    return decoderTensors(config, {
      attention: wholeNorms(config),
      feedForward: ({ hidden, feedForward }) => [
        tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
        ...routedExperts('mlp.experts', experts, hidden, feedForward),
      ],
    })
  },
  widths: { feedForward: true, fixed: keysAsWide },
  quirks: { needsOutput: true },
}

/** One norm over all queries of a token, one over all keys. */
function wholeNorms(config: ModelConfig): GroupedOptions {
  const { heads, keyValueHeads, headLength } = dimensionsOf(config)
  return { bias: false, headNorm: heads * headLength, keyNorm: keyValueHeads * headLength }
}
