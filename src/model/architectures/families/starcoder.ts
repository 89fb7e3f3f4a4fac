import { countKey, fileTypePlace, floatKey } from '../base.js'
import { count, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { uint32 } from '../metadata.js'
import { plainFeedForward } from '../plain-feed-forward.js'
import { blocks, layerNorm, linear, silently, tensor } from '../tensor-mappings.js'
import { type Family, layerNorms } from '../types.js'

/** How models of the class GPTBigCode, and those made from its code, are run. */
export const bigCodeIgnored = [
  'attention_softmax_in_fp32',
  'inference_runner',
  'max_batch_size',
  'max_sequence_length',
  'pad_key_length',
  'pre_allocate_kv_cache',
  'scale_attention_softmax_in_fp32',
  'validate_runner_input',
] as const

/** StarCoder and SantaCoder: as GPT-2, one head of keys and values for all queries, matrices the usual way round. */
export const starcoder: Family = {
  architecture: 'starcoder',
  classes: ['GPTBigCodeForCausalLM'],
  fields: {
    defaults: { layer_norm_epsilon: 1e-5, multi_query: true, tie_word_embeddings: true },
    supported: {
      activation_function: ['gelu_pytorch_tanh', 'gelu_new', 'gelu_fast', 'gelu'],
      multi_query: [true],
      n_inner: (value, { fields }) => value === 4 * Number(fields['n_embd']),
    },
    ignored: [
      ...bigCodeIgnored,
      'summary_activation',
      'summary_first_dropout',
      'summary_proj_to_labels',
      'summary_type',
      'summary_use_proj',
    ],
  },
  keys: (config) => [
    ...countKey(config, 'context_length', 'n_positions'),
    ...countKey(config, 'embedding_length', 'n_embd'),
    ['feed_forward_length', uint32(4 * config.get(size, 'n_embd'))],
    ...countKey(config, 'block_count', 'n_layer'),
    ...countKey(config, 'attention.head_count', 'n_head'),
    ['attention.head_count_kv', uint32(1)],
    ...floatKey(config, 'attention.layer_norm_epsilon', 'layer_norm_epsilon'),
    fileTypePlace,
  ],
  tensors: (config) => {
    const hidden = config.get(size, 'n_embd')
    const headLength = hidden / config.get(count, 'n_head')
    const ends = { root: 'transformer.', embedding: 'wte', norm: 'ln_f', normBias: true }
    return [
      ...embeddingAndOutputTensors(config, { vocabulary: config.get(size, 'vocab_size'), hidden }, ends),
      tensor('transformer.wpe.weight', 'position_embd.weight', [config.get(size, 'n_positions'), hidden]),
      ...blocks('transformer.h', config.get(count, 'n_layer'), () => [
        ...layerNorm('ln_1', 'attn_norm', hidden),
        ...layerNorm('ln_2', 'ffn_norm', hidden),
        ...linear('attn.c_attn', 'attn_qkv', [hidden + 2 * headLength, hidden], { bias: true }),
        ...linear('attn.c_proj', 'attn_output', [hidden, hidden], { bias: true }),
        ...plainFeedForward('mlp', hidden, 4 * hidden, { bias: true, names: ['c_fc', 'c_proj'] }),
      ]),
    ]
  },
  // The causal mask, which old checkpoints hold.
  widths: { feedForward: true, fixed: layerNorms },
  quirks: { leaveOut: (name) => (/\.attn\.(masked_)?bias$/.test(name) ? silently : undefined) },
}
