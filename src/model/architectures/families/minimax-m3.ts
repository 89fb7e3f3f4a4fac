import * as v from 'valibot'
import { groupedAttention, plusOne } from '../attention.js'
import { baseKeys, countKey, dimensionsOf, floatKey } from '../base.js'
import { count, countOrNone, listOf, type ModelConfig, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { bool, uint32 } from '../metadata.js'
import { blocks, linear, norm, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'

const shifted = { transform: plusOne }

/** Which blocks of keys a query reads, as config.json says it. */
const sparse = v.looseObject({
  sparse_num_index_heads: count,
  sparse_index_dim: count,
  sparse_topk_blocks: count,
  sparse_block_size: count,
  sparse_local_block: countOrNone,
  sparse_init_block: v.optional(v.literal(0)),
  sparse_score_type: v.optional(v.literal('max')),
  sparse_attention_freq: listOf(countOrNone),
})

/** MiniMax M3: attention to blocks of keys that a small part of each layer chooses, norms of each head, one expert for every token. */
export const minimaxM3: Family = {
  architecture: 'minimax-m3',
  classes: ['MiniMaxM3SparseForCausalLM', 'MiniMaxM3SparseForConditionalGeneration'],
  fields: {
    // Source: MiniMaxM3VLTextConfig of transformers.
    defaults: { routed_scaling_factor: 2, tie_word_embeddings: false },
    supported: {
      // llama.cpp has these numbers in its code.
      hidden_act: ['swigluoai'],
      swiglu_alpha: [1.702],
      swiglu_limit: [7],
      moe_layer_freq: (value) => Array.isArray(value) && value.lastIndexOf(0) === value.findIndex((kind) => kind !== 0) - 1,
      num_nextn_predict_layers: (value) => typeof value === 'number',
      partial_rotary_factor: (value, { fields }) => Number(value) * Number(fields['head_dim']) === fields['rotary_dim'],
      qk_norm_type: ['per_head'],
      scoring_func: ['sigmoid'],
      shared_intermediate_size: (value, { fields }) =>
        value === Number(fields['intermediate_size']) * Number(fields['n_shared_experts']),
      use_gemma_norm: [true],
      use_qk_norm: [true],
      use_routing_bias: [true],
    },
    ignored: ['image_token_index', 'video_token_index', 'img_token_compression_config', 'multimodal_projector_bias'],
  },
  keys: (config) => [
    ...baseKeys(config),
    ...countKey(config, 'expert_feed_forward_length', 'intermediate_size'),
    ...countKey(config, 'rope.dimension_count', 'rotary_dim'),
    ...countKey(config, 'expert_shared_count', 'n_shared_experts'),
    ...floatKey(config, 'expert_weights_scale', 'routed_scaling_factor'),
    ['expert_weights_norm', bool(true)],
    ...indexerKeys(config),
    ['leading_dense_block_count', uint32(denseLayers(config))],
  ],
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    const { layers, hidden, feedForward, headLength } = dimensions
    const dense = denseLayers(config)
    const experts = boundedExperts(config, layers - dense)
    const { sparse_attention_freq: isSparse } = config.get(sparse, 'sparse_attention_config')
    return [
      ...embeddingAndOutputTensors(config, dimensions, { normTransform: shifted }),
      ...blocks('model.layers', layers, (layer) => [
        norm('input_layernorm', 'attn_norm', hidden, shifted),
        norm('post_attention_layernorm', 'ffn_norm', hidden, shifted),
        ...groupedAttention(dimensions, { headNorm: headLength, normTransform: plusOne }),
        ...(isSparse[layer] === 1 ? indexerTensors(config, hidden) : []),
        ...(layer < dense ? gatedFeedForward('mlp', hidden, feedForward) : expertTensors(config, experts, hidden)),
      ]),
    ]
  },
  widths: { feedForward: true, embedding: 'plain' },
  quirks: {
    preNames: { 'gpt-4o': 'minimax-m2' },
    float32: /\.indexer\./,
    leaveOut: (name) =>
      /(^|\.)mtp\./.test(name) ? 'of layers for multi-token prediction, which llama.cpp does not have here' : undefined,
  },
}

/** Dense layers stand before those with experts. */
function denseLayers(config: ModelConfig): number {
  const kinds = config.get(listOf(countOrNone), 'moe_layer_freq')
  const first = kinds.findIndex((kind) => kind !== 0)
  return first === -1 ? kinds.length : first
}

function indexerKeys(config: ModelConfig): Entry[] {
  const found = config.get(sparse, 'sparse_attention_config')
  return [
    ['attention.indexer.head_count', uint32(found.sparse_num_index_heads)],
    ['attention.indexer.key_length', uint32(found.sparse_index_dim)],
    ['attention.indexer.top_k', uint32(found.sparse_topk_blocks)],
    ['attention.indexer.block_size', uint32(found.sparse_block_size)],
    ['attention.indexer.local_blocks', uint32(found.sparse_local_block)],
  ]
}

/** What chooses the blocks of keys: queries of a few heads, one key. */
function indexerTensors(config: ModelConfig, hidden: number): TensorMapping[] {
  const { sparse_num_index_heads: heads, sparse_index_dim: length } = config.get(sparse, 'sparse_attention_config')
  return [
    ...linear('self_attn.index_q_proj', 'indexer.q_proj', [heads * length, hidden], { bias: false }),
    ...linear('self_attn.index_k_proj', 'indexer.k_proj', [length, hidden], { bias: false }),
    norm('self_attn.index_q_norm', 'indexer.q_norm', length, shifted),
    norm('self_attn.index_k_norm', 'indexer.k_norm', length, shifted),
  ]
}

function expertTensors(config: ModelConfig, experts: number, hidden: number): TensorMapping[] {
  const width = config.get(size, 'intermediate_size')
  const shared = config.get(countOrNone, 'n_shared_experts')
  return [
    tensor('block_sparse_moe.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    tensor('block_sparse_moe.e_score_correction_bias', 'exp_probs_b.bias', [experts]),
    ...routedExperts('block_sparse_moe.experts', experts, hidden, width, {
      names: ['w1', 'w3', 'w2'],
      order: ['gate', 'down', 'up'],
    }),
    ...(shared === 0 ? [] : gatedFeedForward('block_sparse_moe.shared_experts', hidden, shared * width, { suffix: '_shexp' })),
  ]
}
