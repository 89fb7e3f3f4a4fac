import { transpose } from '../../../recipe/index.js'
import { countKey, fileTypePlace, floatKey } from '../base.js'
import { count, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { uint32 } from '../metadata.js'
import { turnedLinear } from '../plain-feed-forward.js'
import { blocks, layerNorm, silently, tensor } from '../tensor-mappings.js'
import { type Family, layerNorms } from '../types.js'

/** GPT-2: learned positions, one matrix for queries, keys and values, all matrices stored the other way round. */
export const gpt2: Family = {
  architecture: 'gpt2',
  classes: ['GPT2LMHeadModel'],
  fields: {
    defaults: {
      layer_norm_epsilon: 1e-5,
      n_embd: 768,
      n_head: 12,
      n_layer: 12,
      n_positions: 1024,
      tie_word_embeddings: true,
      vocab_size: 50_257,
    },
    supported: {
      activation_function: ['gelu_new', 'gelu_pytorch_tanh', 'gelu_fast'],
      n_inner: (value, { fields }) => value === 4 * Number(fields['n_embd']),
    },
    ignored: [
      'n_ctx',
      'reorder_and_upcast_attn',
      'summary_activation',
      'summary_first_dropout',
      'summary_proj_to_labels',
      'summary_type',
      'summary_use_proj',
    ],
  },
  keys: (config) => [
    ...countKey(config, 'block_count', 'n_layer'),
    ...countKey(config, 'context_length', 'n_ctx', 'n_positions'),
    ...countKey(config, 'embedding_length', 'n_embd'),
    ['feed_forward_length', uint32(4 * config.get(size, 'n_embd'))],
    ...countKey(config, 'attention.head_count', 'n_head'),
    ...floatKey(config, 'attention.layer_norm_epsilon', 'layer_norm_epsilon'),
    fileTypePlace,
  ],
  tensors: (config) => {
    const hidden = config.get(size, 'n_embd')
    const vocabulary = config.get(size, 'vocab_size')
    return [
      ...embeddingAndOutputTensors(config, { vocabulary, hidden }, { root: '', embedding: 'wte', norm: 'ln_f', normBias: true }),
      tensor('wpe.weight', 'position_embd.weight', [config.get(size, 'n_positions'), hidden]),
      ...blocks('h', config.get(count, 'n_layer'), () => [
        ...layerNorm('ln_1', 'attn_norm', hidden),
        ...layerNorm('ln_2', 'ffn_norm', hidden),
        ...turnedLinear('attn.c_attn', 'attn_qkv', [3 * hidden, hidden], transpose),
        ...turnedLinear('attn.c_proj', 'attn_output', [hidden, hidden], transpose),
        ...turnedLinear('mlp.c_fc', 'ffn_up', [4 * hidden, hidden], transpose),
        ...turnedLinear('mlp.c_proj', 'ffn_down', [hidden, 4 * hidden], transpose),
      ]),
    ]
  },
  widths: { feedForward: true, fixed: layerNorms },
  quirks: {
    rename: (name) => name.replace(/^transformer\./, ''),
    // The causal mask, which old checkpoints hold.
    leaveOut: (name) => (/\.attn\.(masked_)?bias$/.test(name) ? silently : undefined),
  },
}
