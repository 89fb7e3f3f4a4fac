import { countKey, dimensionsOf, fileTypePlace, floatKey, names } from '../base.js'
import { decoderTensors } from '../decoder.js'
import { bool, uint32 } from '../metadata.js'
import { rotatedPart } from '../rope.js'
import { layerNorm, linear, tensor } from '../tensor-mappings.js'
import { type Family, layerNorms } from '../types.js'

/** Phi 1, 1.5 and 2: attention and feed-forward side by side behind one norm, a part of each head rotated. */
export const phi2: Family = {
  architecture: 'phi2',
  classes: ['PhiForCausalLM'],
  fields: {
    defaults: {
      hidden_act: 'gelu_new',
      layer_norm_eps: 1e-5,
      max_position_embeddings: 2048,
      partial_rotary_factor: 0.5,
      rope_theta: 10_000,
      tie_word_embeddings: false,
    },
    derived: ({ num_attention_heads: heads, hidden_size: hidden }) => ({
      num_key_value_heads: heads,
      intermediate_size: 4 * Number(hidden),
    }),
    supported: {
      hidden_act: ['gelu_new', 'gelu_pytorch_tanh', 'gelu_fast'],
      rope_theta: [10_000],
      // The file says neither.
      intermediate_size: (value, { fields }) => value === 4 * Number(fields['hidden_size']),
      num_key_value_heads: (value, { fields }) => value === fields['num_attention_heads'],
    },
  },
  keys: (config) => {
    const { hidden, heads } = dimensionsOf(config)
    return [
      ...countKey(config, 'context_length', 'n_positions', 'max_position_embeddings'),
      ['embedding_length', uint32(hidden)],
      ['feed_forward_length', uint32(4 * hidden)],
      ...countKey(config, 'block_count', ...names.layers),
      ['attention.head_count', uint32(heads)],
      ['attention.head_count_kv', uint32(heads)],
      ...floatKey(config, 'attention.layer_norm_epsilon', ...names.layerNormEpsilon),
      ['rope.dimension_count', uint32(Math.floor(Math.trunc((rotatedPart(config) ?? 0.5) * hidden) / heads))],
      fileTypePlace,
      ['tokenizer.ggml.add_bos_token', bool(false)],
    ]
  },
  tensors: (config) => {
    const { vocabulary, hidden } = dimensionsOf(config)
    return [
      ...decoderTensors(config, {
        norm: 'final_layernorm',
        normBias: true,
        norms: () => layerNorm('input_layernorm', 'attn_norm', hidden),
        attention: { bias: true, names: { o: 'dense' } },
        feedForward: ({ feedForward }) => [
          ...linear('mlp.fc1', 'ffn_up', [feedForward, hidden], { bias: true }),
          ...linear('mlp.fc2', 'ffn_down', [hidden, feedForward], { bias: true }),
        ],
      }),
      tensor('lm_head.bias', 'output.bias', [vocabulary]),
    ]
  },
  widths: { feedForward: true, fixed: layerNorms },
  quirks: { preNames: { 'gpt-2': 'phi-2' }, needsOutput: true },
}
