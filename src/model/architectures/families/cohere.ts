import { groupedAttention } from '../attention.js'
import { baseKeys, countKey, type Dimensions, dimensionsOf, floatKey, names } from '../base.js'
import { flag, type ModelConfig } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { text, uint32 } from '../metadata.js'
import { rotatedPart, unscaledRope } from '../rope.js'
import { norm, type TensorMapping, tensor } from '../tensor-mappings.js'
import { type Entry, type Family, layerNorms } from '../types.js'
import { windowPattern } from '../windows.js'

/** Source: CohereConfig and Cohere2Config of transformers. */
const defaults = {
  layer_norm_eps: 1e-5,
  logit_scale: 0.0625,
  max_position_embeddings: 8192,
  rope_theta: 10_000,
  tie_word_embeddings: true,
}

const unscaled: Entry = ['rope.scaling.type', text('none')]

/** Command R and Aya: attention and the feed-forward part side by side after one norm; the larger ones have norms of each head. */
export const cohere: Family = {
  architecture: 'command-r',
  classes: ['CohereForCausalLM'],
  fields: { defaults, supported: { ...unscaledRope, use_qk_norm: [true, false] }, ignored: ['model_max_length'] },
  keys: (config) => [
    ...baseKeys(config),
    // The models know contexts beyond max_position_embeddings.
    ...countKey(config, 'context_length', 'model_max_length', ...names.context),
    ...floatKey(config, 'logit_scale', 'logit_scale'),
    unscaled,
  ],
  tensors: (config) =>
    decoderTensors(config, {
      norms: oneNorm,
      attention: (dimensions) => [
        ...groupedAttention(dimensions, { bias: false }),
        ...(config.find(flag, 'use_qk_norm') === true ? headNorms(dimensions) : []),
      ],
    }),
  footprint: { attention: 'grouped', parallel: true },
  widths: { feedForward: true, fixed: layerNorms },
  quirks: { alwaysTied: true, headsFillEmbedding: true },
}

/** Command R7B: as Command R, with a window and rotation in three of four layers. */
export const cohere2: Family = {
  architecture: 'cohere2',
  classes: ['Cohere2ForCausalLM'],
  fields: {
    defaults: { ...defaults, sliding_window: 4096 },
    // llama.cpp knows the layers with a window by their number.
    supported: {
      ...unscaledRope,
      layer_types: windowPattern(4),
      order_of_interleaved_layers: ['local_attn_first'],
      position_embedding_type: ['rope_gptj'],
      sliding_window_pattern: [4],
      use_embedding_sharing: [true],
      use_gated_activation: [true],
      use_parallel_block: [true],
    },
    ignored: ['cache_implementation', 'use_parallel_embedding'],
  },
  keys: (config) => [
    ...baseKeys(config),
    ...floatKey(config, 'logit_scale', 'logit_scale'),
    ...countKey(config, 'attention.sliding_window', 'sliding_window'),
    ...countKey(config, 'vocab_size', 'vocab_size'),
    ['rope.dimension_count', uint32(rotatedLength(config))],
    unscaled,
  ],
  tensors: (config) => decoderTensors(config, { norms: oneNorm, attention: { bias: false } }),
  widths: { feedForward: true, fixed: layerNorms },
  quirks: { alwaysTied: true, headsFillEmbedding: true },
}

function rotatedLength(config: ModelConfig): number {
  const { hidden, heads } = dimensionsOf(config)
  return Math.trunc((rotatedPart(config) ?? 1) * Math.floor(hidden / heads))
}

function oneNorm({ hidden }: Dimensions): TensorMapping[] {
  return [norm('input_layernorm', 'attn_norm', hidden)]
}

/** Each head has a norm of its own. */
function headNorms({ heads, keyValueHeads, headLength }: Dimensions): TensorMapping[] {
  return [
    tensor('self_attn.q_norm.weight', 'attn_q_norm.weight', [heads, headLength]),
    tensor('self_attn.k_norm.weight', 'attn_k_norm.weight', [keyValueHeads, headLength]),
  ]
}
