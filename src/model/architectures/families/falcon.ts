import { countKey, fileTypePlace, floatKey, names } from '../base.js'
import { count, flag, type ModelConfig, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { regroup } from '../fused-attention.js'
import { text, uint32 } from '../metadata.js'
import { plainFeedForward } from '../plain-feed-forward.js'
import { plainRope } from '../rope.js'
import { blocks, layerNorm, linear } from '../tensor-mappings.js'
import { type Family, layerNorms } from '../types.js'

const heads = ['num_attention_heads', 'n_head']
const layers = ['num_hidden_layers', 'n_layer']

/** Falcon: attention and feed-forward side by side, keys and values shared by all heads (7B) or by groups (40B). */
export const falcon: Family = {
  architecture: 'falcon',
  classes: ['FalconForCausalLM', 'RWForCausalLM'],
  fields: {
    defaults: { layer_norm_epsilon: 1e-5, multi_query: true, tie_word_embeddings: true },
    supported: {
      ...plainRope,
      activation: ['gelu'],
      bias: [false],
      ffn_hidden_size: (value, { fields }) => value === 4 * Number(fields['hidden_size']),
      multi_query: (value, { fields }) => value === true || fields['new_decoder_architecture'] === true,
      num_ln_in_parallel_attn: [1, 2],
      parallel_attn: [true],
    },
    ignored: ['apply_residual_connection_post_layernorm', 'max_position_embeddings'],
  },
  keys: (config) => [
    // config.json does not say it.
    ['context_length', uint32(2048)],
    ['tensor_data_layout', text('jploski')],
    ...countKey(config, 'embedding_length', 'hidden_size'),
    ['feed_forward_length', uint32(4 * config.get(size, 'hidden_size'))],
    ...countKey(config, 'block_count', ...layers),
    ...countKey(config, 'attention.head_count', ...heads),
    ['attention.head_count_kv', uint32(groupsOf(config))],
    ...floatKey(config, 'attention.layer_norm_epsilon', ...names.layerNormEpsilon),
    fileTypePlace,
  ],
  tensors: (config) => {
    const hidden = config.get(size, 'hidden_size')
    const groups = groupsOf(config)
    const queries = config.get(count, ...heads) / groups
    const headLength = hidden / (groups * queries)
    if (!Number.isInteger(queries) || !Number.isInteger(headLength)) {
      throw config.invalid('hidden_size, num_attention_heads and num_kv_heads do not divide')
    }
    const fused = { transform: (rows: Parameters<typeof regroup>[0]) => regroup(rows, { groups, queries, headLength }) }
    return [
      ...embeddingAndOutputTensors(
        config,
        { vocabulary: config.get(size, 'vocab_size'), hidden },
        { root: 'transformer.', embedding: 'word_embeddings', norm: 'ln_f', normBias: true },
      ),
      ...blocks('transformer.h', config.get(count, ...layers), (layer) => [
        ...(config.hasTensor(`transformer.h.${layer}.ln_mlp.weight`)
          ? [...layerNorm('ln_mlp', 'attn_norm', hidden), ...layerNorm('ln_attn', 'attn_norm_2', hidden)]
          : layerNorm('input_layernorm', 'attn_norm', hidden)),
        ...linear('self_attention.query_key_value', 'attn_qkv', [groups * (queries + 2) * headLength, hidden], {
          bias: false,
          ...fused,
        }),
        ...linear('self_attention.dense', 'attn_output', [hidden, hidden], { bias: false }),
        ...plainFeedForward('mlp', hidden, 4 * hidden, { bias: false, names: ['dense_h_to_4h', 'dense_4h_to_h'] }),
      ]),
    ]
  },
  footprint: { attention: 'grouped', parallel: true },
  widths: { feedForward: true, fixed: layerNorms },
}

/** Heads of keys and values: one for all queries, unless the newer layout says how many. @throws MqError CONFIG_INVALID. */
function groupsOf(config: ModelConfig): number {
  if (config.find(flag, 'new_decoder_architecture') !== true) return 1
  return config.get(count, 'num_kv_heads', 'n_head_kv')
}
