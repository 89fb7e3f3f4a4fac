import { groupedAttention } from '../attention.js'
import { baseKeys, countKey, type Dimensions, dimensionsOf, floatKey, present } from '../base.js'
import { count, countOrNone, flag, type ModelConfig, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { bool, uint32 } from '../metadata.js'
import { countedPredictions, predictionCount, predictionLayers, predictionTensors } from '../mtp.js'
import { setTokenIds, tokenId } from '../special-token-ids.js'
import { blocks, norm, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'
import { rotatedLength } from './glm4.js'

/** GLM-4.5 to 4.7: many experts with one for every token, and a layer that predicts a further token, which is kept. */
export const glm4moe: Family = {
  architecture: 'glm4moe',
  classes: ['Glm4MoeForCausalLM', 'Glm4vMoeForConditionalGeneration'],
  fields: {
    defaults: {
      first_k_dense_replace: 1,
      max_position_embeddings: 131_072,
      n_group: 1,
      n_routed_experts: 128,
      n_shared_experts: 1,
      norm_topk_prob: true,
      num_experts_per_tok: 8,
      num_key_value_heads: 8,
      partial_rotary_factor: 0.5,
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      routed_scaling_factor: 1,
      tie_word_embeddings: false,
      topk_group: 1,
    },
    supported: { attention_bias: [true, false], use_qk_norm: [true, false] },
  },
  keys: (config) => [
    ...baseKeys(config.with({ num_hidden_layers: layersOf(config) })),
    ['rope.dimension_count', uint32(rotatedLength(config))],
    ...countKey(config, 'expert_count', 'n_routed_experts'),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...countKey(config, 'expert_shared_count', 'n_shared_experts'),
    ...countKey(config, 'leading_dense_block_count', 'first_k_dense_replace'),
    ['expert_gating_func', uint32(2)],
    ...floatKey(config, 'expert_weights_scale', 'routed_scaling_factor'),
    ...present('expert_weights_norm', config.find(flag, 'norm_topk_prob'), bool),
    ...predictionCount(config),
  ],
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    const { layers, hidden, vocabulary, feedForward } = dimensions
    const dense = config.get(countOrNone, 'first_k_dense_replace')
    const all = layersOf(config)
    const experts = boundedExperts(config, all - dense, 'n_routed_experts')
    return [
      ...embeddingAndOutputTensors(config, dimensions),
      ...blocks('model.layers', all, (layer) => [
        norm('input_layernorm', 'attn_norm', hidden),
        norm('post_attention_layernorm', 'post_attention_norm', hidden),
        ...attention(config, dimensions),
        ...(layer < dense
          ? gatedFeedForward('mlp', hidden, feedForward, { bias: false })
          : expertTensors(config, experts, hidden)),
        ...(layer < layers ? [] : predictionTensors(hidden, vocabulary)),
      ]),
    ]
  },
  footprint: { attention: 'grouped', normalizedExperts: 'key' },
  widths: { feedForward: true, embedding: 'stream', heads: 'free' },
  quirks: { layers: layersOf, separableMtp: true, adjustTokenizer },
}

/** Solar Open: GLM-4.5's layout with a tokenizer of its own. */
export const solarOpen: Family = {
  ...glm4moe,
  classes: ['SolarOpenForCausalLM'],
  quirks: {
    layers: layersOf,
    adjustTokenizer: (entries) =>
      setTokenIds(entries, { eot: tokenId(entries, '<|endoftext|>'), unknown: tokenId(entries, '<unk>') }),
  },
}

/** Those that predict further tokens stand behind the others. */
function layersOf(config: ModelConfig): number {
  return config.get(count, 'num_hidden_layers') + predictionLayers(config, countedPredictions(config))
}

function attention(config: ModelConfig, dimensions: Dimensions): TensorMapping[] {
  const normed = config.find(flag, 'use_qk_norm') === true ? { headNorm: dimensions.headLength } : {}
  return groupedAttention(dimensions, { bias: config.find(flag, 'attention_bias') === true, outputBias: false, ...normed })
}

function expertTensors(config: ModelConfig, experts: number, hidden: number): TensorMapping[] {
  const width = config.get(size, 'moe_intermediate_size')
  const shared = config.find(countOrNone, 'n_shared_experts') ?? 0
  return [
    tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    tensor('mlp.gate.e_score_correction_bias', 'exp_probs_b.bias', [experts]),
    ...routedExperts('mlp.experts', experts, hidden, width),
    ...(shared > 0 ? gatedFeedForward('mlp.shared_experts', hidden, shared * width, { bias: false, suffix: '_shexp' }) : []),
  ]
}

/** Names of tokens are those of all GLM models since 4.5. */
export function adjustTokenizer(entries: readonly Entry[]): readonly Entry[] {
  return setTokenIds(entries, {
    bos: tokenId(entries, '[gMASK]'),
    eot: tokenId(entries, '<|user|>'),
    unknown: tokenId(entries, '<|endoftext|>'),
    eom: tokenId(entries, '<|observation|>'),
  })
}
