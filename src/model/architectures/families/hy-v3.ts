import { groupedAttention } from '../attention.js'
import { baseKeys, countKey, dimensionsOf, floatKey } from '../base.js'
import { count, type Fields, flag, type ModelConfig, size } from '../config.js'
import { preNorms } from '../decoder.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { bool, uint32 } from '../metadata.js'
import { countedPredictions, predictionCount, predictionLayers, predictionTensors } from '../mtp.js'
import { blocks, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** Hy3 (Hunyuan 3): norms of each head, experts chosen by sigmoids with a bias, one for every token, a layer that predicts a further token. */
export const hyV3: Family = {
  architecture: 'hy_v3',
  classes: ['HYV3ForCausalLM'],
  fields: {
    // Source: HYV3Config of transformers.
    defaults: {
      head_dim: 128,
      max_position_embeddings: 131_072,
      moe_intermediate_size: 1536,
      num_experts: 192,
      num_experts_per_tok: 8,
      num_key_value_heads: 8,
      num_shared_experts: 1,
      rms_norm_eps: 1e-5,
      rope_theta: 11_158_840,
      router_scaling_factor: 2.826,
      tie_word_embeddings: false,
    },
    derived: ({ num_hidden_layers: layers }: Fields): Fields => ({
      mlp_layer_types: Array.from({ length: Math.min(Number(layers) || 0, 65_536) }, (_, layer) =>
        layer === 0 ? 'dense' : 'sparse',
      ),
    }),
    supported: {
      // No key says which layers are dense: llama.cpp takes the first to be.
      first_k_dense_replace: [1],
      mlp_layer_types: (value) => Array.isArray(value) && value.every((type, layer) => (type === 'dense') === (layer === 0)),
      moe_router_enable_expert_bias: [true],
      moe_router_use_sigmoid: [true],
      qk_norm: [true],
    },
    ignored: [
      'enable_lm_head_fp32',
      'enable_attention_fp32_softmax',
      'enable_moe_fp32_combine',
      'expert_hidden_dim',
      'use_grouped_mm',
    ],
  },
  keys: (config) => [
    ...baseKeys(config.with({ num_hidden_layers: layersOf(config) })),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ['expert_shared_feed_forward_length', uint32(sharedWidth(config))],
    ['expert_weights_norm', bool(config.find(flag, 'route_norm') ?? true)],
    ...floatKey(config, 'expert_weights_scale', 'router_scaling_factor'),
    ['expert_gating_func', uint32(2)],
    ...predictionCount(config),
  ],
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    const { layers, hidden, vocabulary, feedForward } = dimensions
    const all = layersOf(config)
    const experts = boundedExperts(config, all - 1)
    return [
      ...embeddingAndOutputTensors(config, dimensions),
      ...blocks('model.layers', all, (layer) => [
        ...preNorms(dimensions),
        ...groupedAttention(dimensions, { headNorm: dimensions.headLength }),
        ...(layer === 0 ? gatedFeedForward('mlp', hidden, feedForward) : expertTensors(config, experts, hidden)),
        ...(layer < layers ? [] : predictionTensors(hidden, vocabulary)),
      ]),
    ]
  },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: {
    layers: layersOf,
    separableMtp: true,
    rename: (name) => name.replace('.final_layernorm.', '.shared_head.norm.'),
  },
}

/** Those that predict further tokens stand behind the others. */
function layersOf(config: ModelConfig): number {
  return config.get(count, 'num_hidden_layers') + predictionLayers(config, countedPredictions(config))
}

function sharedWidth(config: ModelConfig): number {
  return config.get(size, 'moe_intermediate_size') * config.get(count, 'num_shared_experts')
}

/** Names of the published checkpoint, which transformers keeps when it saves one. */
function expertTensors(config: ModelConfig, experts: number, hidden: number): TensorMapping[] {
  return [
    tensor('mlp.router.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    tensor('mlp.expert_bias', 'exp_probs_b', [experts]),
    ...routedExperts('mlp.experts', experts, hidden, config.get(size, 'moe_intermediate_size')),
    ...gatedFeedForward('mlp.shared_mlp', hidden, sharedWidth(config), { suffix: '_shexp' }),
  ]
}
