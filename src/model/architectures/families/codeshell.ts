import { countKey, fileTypePlace, floatKey } from '../base.js'
import { count, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { float32, text, uint32 } from '../metadata.js'
import { plainFeedForward } from '../plain-feed-forward.js'
import { plainRope } from '../rope.js'
import { blocks, layerNorm, linear } from '../tensor-mappings.js'
import { type Family, layerNorms } from '../types.js'
import { bigCodeIgnored } from './starcoder.js'

/** CodeShell: as GPT-2 with rotations and groups of heads. */
export const codeshell: Family = {
  architecture: 'codeshell',
  classes: ['CodeShellForCausalLM'],
  fields: {
    defaults: { layer_norm_epsilon: 1e-5, tie_word_embeddings: false },
    supported: {
      ...plainRope,
      activation_function: ['gelu_pytorch_tanh', 'gelu_new', 'gelu_fast'],
      group_query_attention: [true],
      n_inner: (value, { fields }) => value === 4 * Number(fields['n_embd']),
    },
    ignored: bigCodeIgnored,
  },
  keys: (config) => [
    ...countKey(config, 'context_length', 'n_positions'),
    ...countKey(config, 'embedding_length', 'n_embd'),
    ['feed_forward_length', uint32(4 * config.get(size, 'n_embd'))],
    ...countKey(config, 'block_count', 'n_layer'),
    ...countKey(config, 'attention.head_count', 'n_head'),
    ...countKey(config, 'attention.head_count_kv', 'num_query_groups'),
    ...floatKey(config, 'attention.layer_norm_epsilon', 'layer_norm_epsilon'),
    fileTypePlace,
    ['rope.freq_base', float32(10_000)],
    ['rope.scaling.type', text('linear')],
    ['rope.scaling.factor', float32(1)],
  ],
  tensors: (config) => {
    const hidden = config.get(size, 'n_embd')
    const heads = config.get(count, 'n_head')
    const groups = config.get(count, 'num_query_groups')
    const rows = hidden + (2 * groups * hidden) / heads
    return [
      ...embeddingAndOutputTensors(
        config,
        { vocabulary: config.get(size, 'vocab_size'), hidden },
        {
          root: 'transformer.',
          embedding: 'wte',
          norm: 'ln_f',
          normBias: true,
        },
      ),
      ...blocks('transformer.h', config.get(count, 'n_layer'), () => [
        ...layerNorm('ln_1', 'attn_norm', hidden),
        ...layerNorm('ln_2', 'ffn_norm', hidden),
        ...linear('attn.c_attn', 'attn_qkv', [rows, hidden], { bias: true }),
        ...linear('attn.c_proj', 'attn_output', [hidden, hidden], { bias: true }),
        ...plainFeedForward('mlp', hidden, 4 * hidden, { bias: true, names: ['c_fc', 'c_proj'] }),
      ]),
    ]
  },
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, fixed: layerNorms },
  quirks: { layers: (config) => config.get(count, 'n_layer') },
}
