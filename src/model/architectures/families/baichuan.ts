import { normalize } from '../../../recipe/index.js'
import { baseKeys, dimensionsOf } from '../base.js'
import { finite, type ModelConfig, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { splitAttention } from '../fused-attention.js'
import { text, uint32 } from '../metadata.js'
import { plainRope } from '../rope.js'
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
    decoderTensors(config, {
      ...(isSecond(config) && { outputTransform: (weight) => normalize('unit-rows', weight) }),
      attention: (dimensions) =>
        splitAttention(
          { ...dimensions, keyValueHeads: dimensions.heads },
          { input: 'self_attn.W_pack', output: 'self_attn.o_proj' },
          true,
        ),
    }),
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding', attentionFixedAt: 40 },
}

/** Baichuan 2, whose code normalizes the rows of its output matrix before it first runs (NormHead). */
function isSecond(config: ModelConfig): boolean {
  return config.find(finite, 'z_loss_weight') !== undefined || config.get(size, 'vocab_size') === 125_696
}
