import { countKey, fileTypePlace, floatKey } from '../base.js'
import { count, type ModelConfig, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { regroup } from '../fused-attention.js'
import { uint32 } from '../metadata.js'
import { plainFeedForward } from '../plain-feed-forward.js'
import { blocks, layerNorm, linear } from '../tensor-mappings.js'
import { type Family, layerNorms } from '../types.js'

const heads = ['n_head', 'num_attention_heads']
const layers = ['n_layer', 'num_hidden_layers']
const width = ['hidden_size', 'n_embed', 'n_embd']

/** BLOOM: a bias by distance (ALiBi) in place of positions, a norm of the embedding. */
export const bloom: Family = {
  architecture: 'bloom',
  classes: ['BloomForCausalLM', 'BloomModel'],
  fields: {
    defaults: { layer_norm_epsilon: 1e-5, tie_word_embeddings: true },
    supported: {
      apply_residual_connection_post_layernorm: [false],
      n_inner: (value, { fields }) => value === 4 * Number(fields['hidden_size']),
    },
    ignored: [
      'attention_softmax_in_fp32',
      'bias_dropout_fusion',
      'masked_softmax_fusion',
      'offset_alibi',
      'slow_but_exact',
      'skip_bias_add',
      'skip_bias_add_qkv',
      'unk_token_id',
    ],
  },
  keys: (config) => {
    const hidden = config.get(size, ...width)
    return [
      ['context_length', uint32(config.find(size, 'seq_length') ?? hidden)],
      ['embedding_length', uint32(hidden)],
      ['feed_forward_length', uint32(4 * hidden)],
      ...countKey(config, 'block_count', ...layers),
      ...countKey(config, 'attention.head_count', ...heads),
      ...countKey(config, 'attention.head_count_kv', ...heads),
      ...floatKey(config, 'attention.layer_norm_epsilon', 'layer_norm_epsilon'),
      fileTypePlace,
    ]
  },
  tensors: (config) => {
    const hidden = config.get(size, ...width)
    const groups = config.get(count, ...heads)
    const headLength = hidden / groups
    if (!Number.isInteger(headLength)) throw config.invalid('hidden_size is no multiple of n_head')
    const fused = { transform: (rows: Parameters<typeof regroup>[0]) => regroup(rows, { groups, queries: 1, headLength }) }
    return [
      ...embeddingAndOutputTensors(
        config,
        { vocabulary: config.get(size, 'vocab_size'), hidden },
        {
          root: '',
          embedding: 'word_embeddings',
          norm: 'ln_f',
          normBias: true,
        },
      ),
      ...layerNorm('word_embeddings_layernorm', 'token_embd_norm', hidden),
      ...blocks('h', config.get(count, ...layers), () => [
        ...layerNorm('input_layernorm', 'attn_norm', hidden),
        ...layerNorm('post_attention_layernorm', 'ffn_norm', hidden),
        ...linear('self_attention.query_key_value', 'attn_qkv', [3 * hidden, hidden], { bias: true, ...fused }),
        ...linear('self_attention.dense', 'attn_output', [hidden, hidden], { bias: true }),
        ...plainFeedForward('mlp', hidden, 4 * hidden, { bias: true, names: ['dense_h_to_4h', 'dense_4h_to_h'] }),
      ]),
    ]
  },
  widths: { feedForward: true, fixed: layerNorms },
  quirks: { layers: (config: ModelConfig) => config.get(count, ...layers), rename: (name) => name.replace(/^transformer\./, '') },
}
