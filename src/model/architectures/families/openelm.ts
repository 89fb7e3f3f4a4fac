import { slice } from '../../../recipe/index.js'
import { countKey, counts, fileTypePlace } from '../base.js'
import { count, finite, listOf, type ModelConfig, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { float32, uint32 } from '../metadata.js'
import { blocks, linear, norm, split } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** OpenELM: each layer has heads and a width of its own. */
export const openelm: Family = {
  architecture: 'openelm',
  classes: ['OpenELMForCausalLM'],
  fields: {
    defaults: { rope_freq_constant: 10_000, tie_word_embeddings: true },
    supported: {
      activation_fn_name: ['swish', 'silu'],
      ffn_with_glu: [true],
      normalization_layer_name: ['rms_norm'],
      normalize_qk_projections: [true],
      share_input_output_layers: [true],
    },
    ignored: ['num_gqa_groups', 'qkv_multipliers', 'rope_max_length'],
  },
  keys: (config) => {
    const { heads, keyValueHeads, widths, headLength } = shapeOf(config)
    return [
      ...countKey(config, 'block_count', 'num_transformer_layers'),
      ...countKey(config, 'context_length', 'max_context_length'),
      ...countKey(config, 'embedding_length', 'model_dim'),
      ['feed_forward_length', counts(widths)],
      ['attention.head_count', counts(heads)],
      ['attention.head_count_kv', counts(keyValueHeads)],
      ['rope.freq_base', float32(config.get(finite, 'rope_freq_constant'))],
      ['attention.layer_norm_rms_epsilon', float32(1e-6)],
      ['rope.dimension_count', uint32(headLength)],
      ['attention.key_length', uint32(headLength)],
      ['attention.value_length', uint32(headLength)],
      fileTypePlace,
    ]
  },
  tensors: (config) => {
    const { heads, keyValueHeads, widths, headLength } = shapeOf(config)
    const hidden = config.get(size, 'model_dim')
    const ends = { root: 'transformer.', embedding: 'token_embeddings' }
    return [
      ...embeddingAndOutputTensors(config, { hidden, vocabulary: config.get(size, 'vocab_size') }, ends),
      ...blocks('transformer.layers', widths.length, (layer) => {
        const [queries, keys, width] = [heads[layer] ?? 0, keyValueHeads[layer] ?? 0, widths[layer] ?? 0]
        return [
          norm('attn_norm', 'attn_norm', hidden),
          norm('ffn_norm', 'ffn_norm', hidden),
          norm('attn.q_norm', 'attn_q_norm', headLength),
          norm('attn.k_norm', 'attn_k_norm', headLength),
          ...linear('attn.qkv_proj', 'attn_qkv', [(queries + 2 * keys) * headLength, hidden], { bias: false }),
          ...linear('attn.out_proj', 'attn_output', [hidden, queries * headLength], { bias: false }),
          split('ffn.proj_1.weight', [2 * width, hidden], (both) => [
            { name: 'ffn_gate.weight', recipe: slice(both, 0, 0, width) },
            { name: 'ffn_up.weight', recipe: slice(both, 0, width, 2 * width) },
          ]),
          ...linear('ffn.proj_2', 'ffn_down', [hidden, width], { bias: false }),
        ]
      }),
    ]
  },
  widths: { feedForward: true, embedding: 'plain' },
  quirks: { layers: (config) => config.get(count, 'num_transformer_layers') },
}

interface Shape {
  /** Of each layer. */
  readonly heads: readonly number[]
  readonly keyValueHeads: readonly number[]
  readonly widths: readonly number[]
  readonly headLength: number
}

/** @throws MqError CONFIG_INVALID. */
function shapeOf(config: ModelConfig): Shape {
  const layers = config.get(count, 'num_transformer_layers')
  const hidden = config.get(size, 'model_dim')
  const divisor = config.get(count, 'ffn_dim_divisor')
  const widths = config.get(listOf(finite), 'ffn_multipliers').map((multiplier) => divisible(multiplier * hidden, divisor))
  const heads = config.get(listOf(count), 'num_query_heads')
  const keyValueHeads = config.get(listOf(count), 'num_kv_heads')
  if ([widths, heads, keyValueHeads].some(({ length }) => length !== layers)) {
    throw config.invalid(`ffn_multipliers, num_query_heads and num_kv_heads need ${layers} entries each`)
  }
  return { heads, keyValueHeads, widths, headLength: config.get(count, 'head_dim') }
}

/** The nearest multiple, but not below nine tenths. Source: make_divisible of OpenELM's configuration. */
function divisible(value: number, divisor: number): number {
  const near = Math.max(divisor, Math.floor(Math.trunc(value + divisor / 2) / divisor) * divisor)
  return near < 0.9 * value ? near + divisor : near
}
