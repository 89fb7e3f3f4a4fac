import * as v from 'valibot'
import { groupedAttention } from '../attention.js'
import { baseKeys, countKey, counts, dimensionsOf, fileTypePlace, floatKey, names } from '../base.js'
import { count, countOrNone, listOf, type ModelConfig, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { gatedFeedForward } from '../feed-forward.js'
import { uint32 } from '../metadata.js'
import { ropeFrequencies, ropeKeys } from '../rope.js'
import { blocks, linear, norm, type TensorMapping } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'

/** What is left of a layer after the search for the best architecture (Puzzle). */
const blockConfig = v.looseObject({
  attention: v.looseObject({
    n_heads_in_group: v.nullable(count),
    replace_with_linear: v.nullish(v.boolean()),
    window_length: v.nullish(v.never('llama.cpp has no window here')),
    num_sink_tokens: v.nullish(v.never('llama.cpp has no sinks here')),
    sparsify: v.nullish(v.never('llama.cpp has no sparse matrices')),
  }),
  ffn: v.looseObject({
    ffn_mult: v.nullable(v.pipe(v.number(), v.minValue(0), v.maxValue(1024))),
    replace_with_linear: v.nullish(v.literal(false, 'llama.cpp has no single matrix in the place of a feed-forward part')),
    sparsify: v.nullish(v.never('llama.cpp has no sparse matrices')),
  }),
})

interface Layer {
  readonly heads: number
  readonly groups: number
  readonly feedForward: number
}

/** Llama-3.1-Nemotron (51B, 253B, Super 49B) and DeciLM: Llama with layers of several widths, some without attention or feed-forward part. */
export const deci: Family = {
  architecture: 'deci',
  classes: ['DeciLMForCausalLM'],
  fields: {
    ropeKinds: ['llama3'],
    // Of DeciLM-7B: found in block_configs or in the list by layer.
    ignored: ['num_key_value_heads', 'num_key_value_heads_per_layer'],
  },
  keys: (config) => {
    const { headLength, hidden } = dimensions(config)
    const layers = layersOf(config)
    const groups: Entry = ['attention.head_count_kv', counts(layers.map((layer) => layer.groups))]
    return [
      ...(hasBlockConfigs(config)
        ? [
            ...ropeKeys(config).filter(([key]) => key === 'rope.freq_base'),
            groups,
            ['attention.head_count', counts(layers.map((layer) => layer.heads))] as const,
            ['feed_forward_length', counts(layers.map((layer) => layer.feedForward))] as const,
            ['block_count', uint32(layers.length)] as const,
            ...countKey(config, 'context_length', ...names.context),
            ['embedding_length', uint32(hidden)] as const,
            ...floatKey(config, 'attention.layer_norm_rms_epsilon', 'rms_norm_eps'),
            ['attention.key_length', uint32(headLength)] as const,
            ['attention.value_length', uint32(headLength)] as const,
            fileTypePlace,
          ]
        : [...baseKeys(config), ...(config.fields['num_key_value_heads_per_layer'] === undefined ? [] : [groups])]),
      ...countKey(config, 'vocab_size', 'vocab_size'),
      ['rope.dimension_count', uint32(config.find(count, 'head_dim') ?? headLength)],
    ]
  },
  tensors: (config) => {
    const { hidden, headLength } = dimensions(config)
    const layers = layersOf(config)
    return [
      ...embeddingAndOutputTensors(config, { vocabulary: config.get(size, 'vocab_size'), hidden }),
      ...blocks('model.layers', layers.length, (index) => {
        const { heads, groups, feedForward } = layers[index] as Layer
        return [
          ...(heads === 0 ? [] : [norm('input_layernorm', 'attn_norm', hidden)]),
          ...attention(hidden, headLength, heads, groups),
          ...(feedForward === 0
            ? []
            : [norm('post_attention_layernorm', 'ffn_norm', hidden), ...gatedFeedForward('mlp', hidden, feedForward)]),
        ]
      }),
    ]
  },
  widths: { feedForward: true, fixed: 'single matrices in the place of attention read it' },
  quirks: { computed: (config) => ropeFrequencies(config, config.find(count, 'head_dim') ?? dimensions(config).headLength) },
}

/** Attention, one matrix in its place, or nothing. */
function attention(hidden: number, headLength: number, heads: number, groups: number): TensorMapping[] {
  if (heads === 0) return []
  return groups === 0
    ? linear('self_attn.linear_attn', 'attn_output', [hidden, hidden], { bias: false })
    : groupedAttention({ hidden, heads, keyValueHeads: groups, headLength }, { interleave: true })
}

function dimensions(config: ModelConfig): { hidden: number; headLength: number } {
  const hidden = config.get(size, 'hidden_size')
  return { hidden, headLength: Math.floor(hidden / config.get(count, 'num_attention_heads')) }
}

function hasBlockConfigs(config: ModelConfig): boolean {
  return config.fields['block_configs'] !== undefined
}

/** @throws MqError CONFIG_INVALID. */
function layersOf(config: ModelConfig): Layer[] {
  const heads = config.get(count, 'num_attention_heads')
  const number = config.get(count, 'num_hidden_layers')
  const check = (field: string, { length }: { readonly length: number }): void => {
    if (length !== number) throw config.invalid(`${field} has ${length} entries for ${number} layers`)
  }
  const found = config.find(listOf(blockConfig), 'block_configs')
  if (found !== undefined) {
    check('block_configs', found)
    const hidden = config.get(size, 'hidden_size')
    const layers = found.map(({ attention: { n_heads_in_group: grouped, replace_with_linear: isLinear }, ffn }) => ({
      heads: grouped !== null || isLinear === true ? heads : 0,
      groups: grouped === null ? 0 : Math.floor(heads / grouped),
      feedForward: Math.ceil(Math.trunc((2 * (ffn.ffn_mult ?? 0) * hidden) / 3) / 256) * 256,
    }))
    if (layers.some((layer, index) => layer.feedForward === 0 && (layer.heads > 0 || index === layers.length - 1))) {
      throw config.unsupported(
        'block_configs has a layer with attention and no feed-forward part, which llama.cpp leaves out, or ends in one with neither',
      )
    }
    return layers
  }
  const { feedForward, keyValueHeads } = dimensionsOf(config)
  const groups = config.find(listOf(countOrNone), 'num_key_value_heads_per_layer')
  if (groups !== undefined) check('num_key_value_heads_per_layer', groups)
  return Array.from({ length: number }, (_, layer) => ({ heads, groups: groups?.[layer] ?? keyValueHeads, feedForward }))
}
