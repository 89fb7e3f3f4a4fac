import { normalize } from '../../../recipe/index.js'
import { baseKeys, countKey, type Dimensions, dimensionsOf, flagKey, floatKey } from '../base.js'
import { count, countOrNone, flag, type ModelConfig, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { uint32 } from '../metadata.js'
import { rotatedPart } from '../rope.js'
import { linear, norm, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** Ling and Ring 2: one matrix for queries, keys and values, norms of each head, many small experts chosen by groups. */
export const bailingMoe2: Family = {
  architecture: 'bailingmoe2',
  classes: ['BailingMoeV2ForCausalLM'],
  fields: {
    defaults: { partial_rotary_factor: 0.5, rope_theta: 10_000, tie_word_embeddings: false },
    supported: {
      multi_gate: [false],
      norm_head: [false],
      norm_softmax: [false],
      num_nextn_predict_layers: [0],
      rotary_dim: (value, { fields }) => value === Number(fields['head_dim']) * Number(fields['partial_rotary_factor']),
      score_function: ['sigmoid'],
      use_qk_norm: [true],
      use_rmsnorm: [true],
    },
    ignored: ['embedding_type', 'max_window_layers', 'mtp_loss_scaling_factor', 'router_dtype'],
  },
  keys: (config) => [
    ...baseKeys(config),
    ['rope.dimension_count', uint32(Math.trunc(dimensionsOf(config).headLength * (rotatedPart(config) ?? 0.5)))],
    ...countKey(config, 'leading_dense_block_count', 'first_k_dense_replace'),
    ...countKey(config, 'vocab_size', 'vocab_size'),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ['expert_shared_feed_forward_length', uint32(sharedWidth(config))],
    ...floatKey(config, 'expert_weights_scale', 'routed_scaling_factor'),
    ...countKey(config, 'expert_shared_count', 'num_shared_experts'),
    ...flagKey(config, 'expert_weights_norm', 'norm_topk_prob'),
    ...countKey(config, 'nextn_predict_layers', 'num_nextn_predict_layers'),
  ],
  tensors: (config) => {
    const { layers, hidden, headLength } = dimensionsOf(config)
    const dense = config.get(countOrNone, 'first_k_dense_replace')
    const experts = boundedExperts(config, layers - dense)
    return decoderTensors(config, {
      embedding: 'word_embeddings',
      attention: (dimensions) => [
        ...fusedAttention(dimensions),
        norm('attention.query_layernorm', 'attn_q_norm', headLength),
        norm('attention.key_layernorm', 'attn_k_norm', headLength),
      ],
      feedForward: ({ feedForward }, layer) =>
        layer < dense ? gatedFeedForward('mlp', hidden, feedForward, { bias: false }) : expertTensors(config, experts, hidden),
    })
  },
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding' },
}

/** Sarvam: as Ling 2, but all of each head is rotated, and the biases of the router are kept with a mean of 0. */
export const sarvamMoe: Family = {
  ...bailingMoe2,
  classes: ['SarvamMoEForCausalLM', 'modeling_sarvam_moe.SarvamMoEForCausalLM'],
  fields: { ...bailingMoe2.fields, defaults: { rope_theta: 10_000, tie_word_embeddings: false } },
  keys: async (config) =>
    (await bailingMoe2.keys(config)).map(([key, value]) =>
      key === 'rope.dimension_count' ? [key, uint32(dimensionsOf(config).headLength)] : [key, value],
    ),
  tensors: async (config) =>
    (await bailingMoe2.tensors(config)).map((mapping) =>
      mapping.name.endsWith('.expert_bias')
        ? { ...mapping, toGguf: (recipe) => mapping.toGguf(normalize('centred', recipe)) }
        : mapping,
    ),
}

function sharedWidth(config: ModelConfig): number {
  const all = config.get(size, 'moe_intermediate_size') * config.get(count, 'num_shared_experts')
  return config.find(size, 'moe_shared_expert_intermediate_size') ?? all
}

function fusedAttention({ hidden, heads, keyValueHeads, headLength }: Dimensions): TensorMapping[] {
  return [
    ...linear('attention.query_key_value', 'attn_qkv', [(heads + 2 * keyValueHeads) * headLength, hidden], { bias: false }),
    ...linear('attention.dense', 'attn_output', [hidden, heads * headLength], { bias: false }),
  ]
}

function expertTensors(config: ModelConfig, experts: number, hidden: number): TensorMapping[] {
  const biased = config.find(flag, 'moe_router_enable_expert_bias') === true
  return [
    tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    tensor('mlp.gate.expert_bias', 'exp_probs_b.bias', [experts], { optional: !biased }),
    ...routedExperts('mlp.experts', experts, hidden, config.get(size, 'moe_intermediate_size')),
    ...gatedFeedForward('mlp.shared_experts', hidden, sharedWidth(config), { bias: false, suffix: '_shexp' }),
  ]
}
