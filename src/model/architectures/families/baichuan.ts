import { normalize, slice } from '../../../recipe/index.js'
import { interleaved } from '../attention.js'
import { baseKeys, type Dimensions, dimensionsOf } from '../base.js'
import { finite, type ModelConfig, size } from '../config.js'
import { decoderRows } from '../decoder.js'
import { text, uint32 } from '../metadata.js'
import { plainRope } from '../rope.js'
import { linear, type Row, split } from '../rows.js'
import type { Family } from '../types.js'

/** Baichuan: a Llama with one matrix for queries, keys and values; the models of 13B have biases by distance (ALiBi) in place of rotations. */
export const baichuan: Family = {
  architecture: 'baichuan',
  classes: ['BaichuanForCausalLM', 'BaiChuanForCausalLM'],
  fields: {
    defaults: { tie_word_embeddings: false },
    supported: {
      ...plainRope,
      // llama.cpp knows by the number of layers what it rotates: all but the 40 layers of 13B. It ends at any other number.
      num_hidden_layers: [32, 40],
    },
  },
  keys: (config) => [
    ...baseKeys(config),
    ['tensor_data_layout', text('Meta AI original pth')],
    ['rope.dimension_count', uint32(dimensionsOf(config).headLength)],
  ],
  tensors: (config) =>
    decoderRows(config, {
      ...(isSecond(config) && { outputTransform: (weight) => normalize('unit-rows', weight) }),
      attention: packedAttention,
    }),
}

/** Baichuan 2, whose code normalizes the rows of its output matrix before it first runs (NormHead). */
function isSecond(config: ModelConfig): boolean {
  return config.find(finite, 'z_loss_weight') !== undefined || config.get(size, 'vocab_size') === 125_696
}

function packedAttention({ hidden, heads, headLength }: Dimensions): Row[] {
  const rows = heads * headLength
  return [
    split('self_attn.W_pack.weight', [3 * rows, hidden], (all) => [
      { name: 'attn_q.weight', recipe: interleaved(heads)(slice(all, 0, 0, rows)) },
      { name: 'attn_k.weight', recipe: interleaved(heads)(slice(all, 0, rows, 2 * rows)) },
      { name: 'attn_v.weight', recipe: slice(all, 0, 2 * rows, 3 * rows) },
    ]),
    ...linear('self_attn.o_proj', 'attn_output', [hidden, rows], { bias: false }),
  ]
}
