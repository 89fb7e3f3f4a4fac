import { slice } from '../../../recipe/index.js'
import { countKey, fileTypePlace, floatKey } from '../base.js'
import { count, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { uint32 } from '../metadata.js'
import { blocks, linear, norm, split } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** Refact: a bias by distance (ALiBi), one head of keys and values, a gated feed-forward part of a width that follows from the model's. */
export const refact: Family = {
  architecture: 'refact',
  classes: ['GPTRefactForCausalLM'],
  fields: {
    defaults: { layer_norm_epsilon: 1e-5, tie_word_embeddings: false },
    supported: { multi_query: [true] },
    ignored: ['attention_bias_in_fp32', 'attention_softmax_in_fp32', 'n_inner', 'scale_attention_softmax_in_fp32'],
  },
  keys: (config) => [
    ...countKey(config, 'context_length', 'n_positions'),
    ...countKey(config, 'embedding_length', 'n_embd'),
    ['feed_forward_length', uint32(widthOf(config.get(size, 'n_embd')))],
    ...countKey(config, 'block_count', 'n_layer'),
    ...countKey(config, 'attention.head_count', 'n_head'),
    ['attention.head_count_kv', uint32(1)],
    ...floatKey(config, 'attention.layer_norm_rms_epsilon', 'layer_norm_epsilon'),
    fileTypePlace,
  ],
  tensors: (config) => {
    const hidden = config.get(size, 'n_embd')
    const headLength = Math.floor(hidden / config.get(count, 'n_head'))
    const width = widthOf(hidden)
    const vocabulary = config.get(size, 'vocab_size')
    return [
      ...embeddingAndOutputTensors(config, { hidden, vocabulary }, { root: 'transformer.', embedding: 'wte', norm: 'ln_f' }),
      ...blocks('transformer.h', config.get(count, 'n_layer'), () => [
        norm('ln_1', 'attn_norm', hidden),
        norm('ln_2', 'ffn_norm', hidden),
        ...linear('attn.q', 'attn_q', [hidden, hidden], { bias: false }),
        split('attn.kv.weight', [2 * headLength, hidden], (both) => [
          { name: 'attn_k.weight', recipe: slice(both, 0, 0, headLength) },
          { name: 'attn_v.weight', recipe: slice(both, 0, headLength, 2 * headLength) },
        ]),
        ...linear('attn.c_proj', 'attn_output', [hidden, hidden], { bias: false }),
        split('mlp.gate_up_proj.weight', [2 * width, hidden], (both) => [
          { name: 'ffn_gate.weight', recipe: slice(both, 0, 0, width) },
          { name: 'ffn_up.weight', recipe: slice(both, 0, width, 2 * width) },
        ]),
        ...linear('mlp.c_proj', 'ffn_down', [hidden, width], { bias: false }),
      ]),
    ]
  },
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain' },
  quirks: { layers: (config) => config.get(count, 'n_layer') },
}

/** Two thirds of four times the width, rounded up to a multiple of 256. */
function widthOf(hidden: number): number {
  return 256 * Math.ceil(Math.trunc((8 * hidden) / 3) / 256)
}
