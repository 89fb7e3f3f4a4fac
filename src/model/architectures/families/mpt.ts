import * as v from 'valibot'
import { countKey, fileTypePlace } from '../base.js'
import { count, finite, type ModelConfig, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { float32, uint32 } from '../metadata.js'
import { plainFeedForward } from '../plain-feed-forward.js'
import { blocks, layerNorm, linear, tensor } from '../tensor-mappings.js'
import { type Entry, type Family, layerNorms } from '../types.js'

/** Of no effect where the rest is as it is here. */
const ignored = v.optional(v.unknown())
const attentionFields = v.strictObject({
  attn_impl: ignored,
  attn_pdrop: ignored,
  attn_type: v.nullish(v.picklist(['multihead_attention', 'multiquery_attention', 'grouped_query_attention'])),
  attn_uses_sequence_id: v.nullish(v.literal(false)),
  model_type: ignored,
  qk_gn: v.nullish(v.literal(false)),
  rope_impl: ignored,
  rope_theta: ignored,
  rope_dail_config: ignored,
  rope_hf_config: ignored,
  sliding_window_size: v.nullish(v.literal(-1)),
  alibi: v.nullish(v.boolean()),
  alibi_bias_max: v.nullish(finite),
  clip_qkv: v.nullish(finite),
  kv_n_heads: v.nullish(count),
  prefix_lm: v.nullish(v.literal(false)),
  qk_ln: v.nullish(v.literal(false)),
  rope: v.nullish(v.literal(false)),
  softmax_scale: v.nullish(v.null()),
})

/** MPT: a bias by distance (ALiBi) in place of positions, layer norms. */
export const mpt: Family = {
  architecture: 'mpt',
  classes: ['MPTForCausalLM'],
  fields: {
    defaults: { expansion_ratio: 4, tie_word_embeddings: true },
    supported: {
      embedding_fraction: [1],
      expansion_ratio: [4],
      logit_scale: [],
      no_bias: [true, false],
      norm_type: ['low_precision_layernorm', 'layernorm'],
      ffn_config: (value) => isUsual(value),
    },
    ignored: ['emb_pdrop', 'init_config', 'init_device', 'learned_pos_emb', 'tokenizer_name', 'verbose'],
  },
  keys: (config) => [
    ...countKey(config, 'context_length', 'max_seq_len'),
    ...countKey(config, 'embedding_length', 'd_model'),
    ...countKey(config, 'block_count', 'n_layers'),
    ['feed_forward_length', uint32(4 * config.get(size, 'd_model'))],
    ...countKey(config, 'attention.head_count', 'n_heads'),
    ...attentionKeys(config),
    fileTypePlace,
  ],
  tensors: (config) => {
    const hidden = config.get(size, 'd_model')
    const heads = config.get(count, 'n_heads')
    const vocabulary = config.get(size, 'vocab_size')
    const { kv_n_heads: keyValueHeads, alibi } = config.get(attentionFields, 'attn_config')
    const rows = hidden + 2 * (keyValueHeads ?? heads) * Math.floor(hidden / heads)
    return [
      ...embeddingAndOutputTensors(config, { hidden, vocabulary }, { root: 'transformer.', embedding: 'wte', norm: 'norm_f' }),
      tensor('transformer.norm_f.bias', 'output_norm.bias', [hidden], { optional: true }),
      ...(alibi === true
        ? []
        : [tensor('transformer.wpe.weight', 'position_embd.weight', [config.get(size, 'max_seq_len'), hidden])]),
      ...blocks('transformer.blocks', config.get(count, 'n_layers'), () => [
        ...layerNorm('norm_1', 'attn_norm', hidden, { bias: 'optional' }),
        ...layerNorm('norm_2', 'ffn_norm', hidden, { bias: 'optional' }),
        ...linear('attn.Wqkv', 'attn_qkv', [rows, hidden]),
        ...linear('attn.out_proj', 'attn_output', [hidden, hidden]),
        ...plainFeedForward('ffn', hidden, 4 * hidden, { bias: 'optional' }),
      ]),
    ]
  },
  widths: { feedForward: true, fixed: layerNorms },
  quirks: { layers: (config) => config.get(count, 'n_layers') },
}

/** Up and down with a GELU between, as the class has it where nothing else is said. */
function isUsual(value: unknown): boolean {
  const usual = v.strictObject({
    ffn_type: v.nullish(v.literal('mptmlp')),
    ffn_act_fn: v.nullish(v.object({ name: v.literal('gelu') })),
    fc_type: v.optional(v.unknown()),
    model_type: v.optional(v.unknown()),
  })
  return v.is(usual, value)
}

function attentionKeys(config: ModelConfig): Entry[] {
  const { alibi, alibi_bias_max: most, clip_qkv: clip, kv_n_heads: keyValueHeads } = config.get(attentionFields, 'attn_config')
  return [
    ...(keyValueHeads === undefined || keyValueHeads === null
      ? []
      : [['attention.head_count_kv', uint32(keyValueHeads)] as const]),
    ['attention.layer_norm_epsilon', float32(1e-5)],
    ...(clip === undefined || clip === null ? [] : [['attention.clamp_kqv', float32(clip)] as const]),
    ['attention.max_alibi_bias', float32(alibi === true ? (most ?? 8) : 0)],
  ]
}
