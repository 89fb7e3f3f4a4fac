import { normalize, type Recipe } from '../../../recipe/index.js'
import { baseKeys, type Dimensions } from '../base.js'
import { decoderTensors } from '../decoder.js'
import { headLength, llamaDefaults } from '../llama.js'
import { float32, text } from '../metadata.js'
import { unscaledRope } from '../rope.js'
import { linear, norm, type TensorMapping } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/**
 * BitNet b1.58: a Llama with norms before the last matrix of attention and of the feed-forward part, whose matrices are rounded to -1, 0
 * and 1 times one number whenever the model runs: so they are in the file.
 */
export const bitnet: Family = {
  architecture: 'bitnet',
  classes: ['BitnetForCausalLM', 'BitNetForCausalLM'],
  fields: {
    defaults: llamaDefaults,
    derived: headLength,
    supported: {
      // The only activation function that llama.cpp has for these.
      hidden_act: ['silu'],
      attention_bias: [false],
      mlp_bias: [false],
      input_bits: [8],
      weight_bits: [1],
      ...unscaledRope,
    },
  },
  // What else llama.cpp's converter would say of scaled rotations it writes over.
  keys: (config) => [...baseKeys(config), ['rope.scaling.type', text('linear')], ['rope.scaling.factor', float32(1)]],
  tensors: (config) => decoderTensors(config, { attention: attentionTensors, feedForward: feedForwardTensors }),
  widths: { feedForward: false, fixed: 'its feed-forward blocks and heads have norms of their own, over all of them' },
  quirks: { alwaysTied: true },
  roles: { attn_sub_norm: 'norm', ffn_sub_norm: 'norm' },
}

/** The converter keeps f16 as it computes. */
const ternary = {
  bias: false,
  transform: (weight: Recipe): Recipe =>
    normalize(weight.op === 'plain' && weight.dtype === 'F16' ? 'ternary-f16' : 'ternary', weight),
} as const

function attentionTensors({ hidden, heads, keyValueHeads, headLength: length }: Dimensions): TensorMapping[] {
  return [
    ...linear('self_attn.q_proj', 'attn_q', [heads * length, hidden], ternary),
    ...linear('self_attn.k_proj', 'attn_k', [keyValueHeads * length, hidden], ternary),
    ...linear('self_attn.v_proj', 'attn_v', [keyValueHeads * length, hidden], ternary),
    ...linear('self_attn.o_proj', 'attn_output', [hidden, heads * length], ternary),
    norm('self_attn.inner_attn_ln', 'attn_sub_norm', heads * length),
  ]
}

function feedForwardTensors({ hidden, feedForward }: Dimensions): TensorMapping[] {
  return [
    ...linear('mlp.gate_proj', 'ffn_gate', [feedForward, hidden], ternary),
    ...linear('mlp.up_proj', 'ffn_up', [feedForward, hidden], ternary),
    ...linear('mlp.down_proj', 'ffn_down', [hidden, feedForward], ternary),
    norm('mlp.ffn_layernorm', 'ffn_sub_norm', feedForward),
  ]
}
