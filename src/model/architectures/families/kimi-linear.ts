import * as v from 'valibot'
import { negativeExp, reshape } from '../../../recipe/index.js'
import { baseKeys, countKey, counts, dimensionsOf, floatKey } from '../base.js'
import { count, countOrNone, listOf, type ModelConfig, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { latentAttention, latentDimensions } from '../latent-attention.js'
import { uint32 } from '../metadata.js'
import { linear, norm, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** What config.json says of linear attention; layers are counted from 1. */
const linearAttention = v.looseObject({
  full_attn_layers: listOf(count),
  head_dim: count,
  kda_layers: v.optional(listOf(count)),
  num_heads: count,
  short_conv_kernel_size: count,
  use_full_rank_gate: v.optional(v.literal(false)),
  gate_lower_bound: v.nullish(v.never()),
})

/** Kimi Linear: a delta rule whose decay differs by channel (KDA) in three layers of four, latent attention without rotation in the others, many experts. */
export const kimiLinear: Family = {
  architecture: 'kimi-linear',
  classes: ['KimiLinearForCausalLM', 'KimiLinearModel'],
  fields: {
    supported: {
      attn_res_block_size: [],
      latent_moe_use_norm: [false],
      mla_use_nope: [true],
      mla_use_output_gate: [false],
      moe_layer_freq: [1],
      moe_renormalize: [true],
      moe_router_activation_func: ['sigmoid'],
      num_expert_group: [1],
      routed_expert_hidden_size: [],
      topk_group: [1],
    },
    ignored: ['use_grouped_topk', 'topk_method', 'rope_theta', 'attention_bias'],
  },
  keys: (config) => {
    const { latent, plain, rotated } = latentDimensions(config)
    const { head_dim: headLength, short_conv_kernel_size: taps } = config.get(linearAttention, 'linear_attn_config')
    return [
      ...baseKeys(config.with({ num_key_value_heads: 1 })),
      ...countKey(config, 'vocab_size', 'vocab_size'),
      ['attention.head_count_kv', counts(fullLayers(config).map(Number))],
      ['ssm.conv_kernel', uint32(taps)],
      ['kda.head_dim', uint32(headLength)],
      ...countKey(config, 'attention.q_lora_rank', 'q_lora_rank'),
      ['attention.kv_lora_rank', uint32(latent)],
      ['rope.dimension_count', uint32(rotated)],
      ['attention.key_length', uint32(latent + rotated)],
      ['attention.key_length_mla', uint32(plain + rotated)],
      ...countKey(config, 'attention.value_length_mla', 'v_head_dim'),
      ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
      ...countKey(config, 'expert_shared_count', 'num_shared_experts'),
      ...countKey(config, 'leading_dense_block_count', 'first_k_dense_replace'),
      ...floatKey(config, 'expert_weights_scale', 'routed_scaling_factor'),
    ]
  },
  tensors: (config) => {
    const isFull = fullLayers(config)
    const latent = latentDimensions(config)
    const dense = config.get(countOrNone, 'first_k_dense_replace')
    const experts = boundedExperts(config, isFull.length - dense)
    return decoderTensors(config, {
      attention: (_, layer) => (isFull[layer] === true ? latentAttention(latent) : deltaAttention(config, layer)),
      feedForward: ({ hidden, feedForward }, layer) =>
        layer < dense ? gatedFeedForward('mlp', hidden, feedForward) : expertTensors(config, experts, hidden),
    })
  },
  widths: { feedForward: true, embedding: 'stream' },
  roles: { ssm_g_a: 'attention-qkv', ssm_g_b: 'attention-qkv' },
}

/** Which layers have latent attention. @throws MqError CONFIG_INVALID where the two lists do not share out the layers. */
function fullLayers(config: ModelConfig): boolean[] {
  const { layers } = dimensionsOf(config)
  const { full_attn_layers: full, kda_layers: linear } = config.get(linearAttention, 'linear_attn_config')
  const found = Array.from({ length: layers }, (_, layer) => full.includes(layer + 1))
  if (linear !== undefined && found.some((isFull, layer) => linear.includes(layer + 1) === isFull)) {
    throw config.invalid('linear_attn_config has a layer in both of its lists, or in none')
  }
  return found
}

/** Linear attention by a delta rule: convolutions over queries, keys and values, decays and output gates through a narrow matrix. */
function deltaAttention(config: ModelConfig, layer: number): TensorMapping[] {
  const { head_dim: length, num_heads: heads, short_conv_kernel_size: taps } = config.get(linearAttention, 'linear_attn_config')
  const hidden = config.get(size, 'hidden_size')
  const width = heads * length
  const convolution = (name: 'q' | 'k' | 'v'): TensorMapping => {
    const from = `self_attn.${name}_conv1d.weight`
    const isFlat = config.shapeOf(`model.layers.${layer}.${from}`)?.length === 2
    return tensor(from, `ssm_conv1d_${name}.weight`, isFlat ? [width, taps] : [width, 1, taps], {
      transform: (weights) => reshape(weights, [1, width, 1, taps]),
    })
  }
  const plain = (from: string, to: string, rows: number, columns: number): TensorMapping[] =>
    linear(`self_attn.${from}`, to, [rows, columns], { bias: false })
  return [
    ...plain('q_proj', 'attn_q', width, hidden),
    ...plain('k_proj', 'attn_k', width, hidden),
    ...plain('v_proj', 'attn_v', width, hidden),
    ...plain('o_proj', 'attn_output', hidden, width),
    ...(['q', 'k', 'v'] as const).map(convolution),
    tensor('self_attn.A_log', 'ssm_a', [1, 1, heads, 1], { transform: negativeExp }),
    tensor('self_attn.dt_bias', 'ssm_dt.bias', [width]),
    ...plain('f_a_proj', 'ssm_f_a', length, hidden),
    ...plain('f_b_proj', 'ssm_f_b', width, length),
    ...plain('b_proj', 'ssm_beta', heads, hidden),
    ...plain('g_a_proj', 'ssm_g_a', length, hidden),
    ...plain('g_b_proj', 'ssm_g_b', width, length),
    norm('self_attn.o_norm', 'ssm_norm', length),
  ]
}

function expertTensors(config: ModelConfig, experts: number, hidden: number): TensorMapping[] {
  const width = config.get(size, 'moe_intermediate_size')
  const shared = config.get(countOrNone, 'num_shared_experts')
  return [
    tensor('block_sparse_moe.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    tensor('block_sparse_moe.gate.e_score_correction_bias', 'exp_probs_b.bias', [experts]),
    ...routedExperts('block_sparse_moe.experts', experts, hidden, width, {
      names: ['w1', 'w3', 'w2'],
      order: ['gate', 'down', 'up'],
    }),
    ...(shared === 0 ? [] : gatedFeedForward('block_sparse_moe.shared_experts', hidden, shared * width, { suffix: '_shexp' })),
  ]
}
