import { groupedAttention } from '../attention.js'
import { baseKeys, countKey, type Dimensions, dimensionsOf, floatKey } from '../base.js'
import { count, countOrNone, type Fields, flag, listOf, type ModelConfig, size, word } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { bool, text, uint32 } from '../metadata.js'
import { unscaledRope } from '../rope.js'
import { norm, type TensorMapping, tensor } from '../tensor-mappings.js'
import { type Entry, type Family, layerNorms } from '../types.js'
import { windowFlags } from '../windows.js'

/** Command A+ and North: Command R7B's side by side blocks with routed experts in all layers but the first. */
export const cohere2Moe: Family = {
  architecture: 'cohere2moe',
  classes: ['Cohere2MoeForCausalLM'],
  fields: {
    // Source: Cohere2MoeConfig of transformers.
    defaults: {
      expert_selection_fn: 'softmax',
      head_dim: 128,
      layer_norm_eps: 1e-5,
      logit_scale: 0.0625,
      max_position_embeddings: 8192,
      norm_topk_prob: true,
      num_experts: 8,
      num_experts_per_tok: 2,
      num_shared_experts: 0,
      rope_theta: 10_000,
      sliding_window: 4096,
      tie_word_embeddings: true,
    },
    derived: (fields) => ({
      num_key_value_heads: fields['num_attention_heads'],
      layer_types: layerTypes(fields),
      mlp_layer_types: perLayer(fields, (_, isDense) => (isDense ? 'dense' : 'sparse')),
    }),
    supported: {
      ...unscaledRope,
      // Softmax over the chosen experts alone is what llama.cpp's normalized weights are.
      norm_topk_prob: (value, { fields }) => value === true || fields['expert_selection_fn'] === 'sigmoid',
      // Dense layers rotate whatever their window is.
      prefix_dense_sliding_window_pattern: [1],
      shared_expert_combination_strategy: ['average'],
      sliding_window_pattern: (value) => Number.isInteger(value),
      use_gated_activation: [true],
      use_parallel_block: [true],
    },
    ignored: ['cache_implementation', 'use_parallel_embedding'],
  },
  keys: (config) => {
    const width = config.get(size, 'intermediate_size')
    const shared = config.get(countOrNone, 'num_shared_experts')
    return [
      ...baseKeys(config),
      ...floatKey(config, 'logit_scale', 'logit_scale'),
      ...countKey(config, 'attention.sliding_window', 'sliding_window'),
      windowFlags(config.get(listOf(word), 'layer_types').map((type) => type === 'sliding_attention')),
      ...countKey(config, 'vocab_size', 'vocab_size'),
      ['expert_feed_forward_length', uint32(width)],
      ['leading_dense_block_count', uint32(denseLayers(config))],
      ['expert_weights_norm', bool(config.get(flag, 'norm_topk_prob'))],
      ...(shared === 0 ? [] : sharedKeys(shared, width)),
      ['rope.dimension_count', uint32(config.get(count, 'head_dim'))],
      ['rope.scaling.type', text('none')],
    ]
  },
  tensors: (config) => {
    const dense = denseLayers(config)
    const experts = boundedExperts(config, dimensionsOf(config).layers - dense)
    return decoderTensors(config, {
      norms: ({ hidden }) => [norm('input_layernorm', 'attn_norm', hidden)],
      attention: (dimensions) => groupedAttention(dimensions),
      feedForward: ({ hidden, feedForward }, layer) =>
        layer < dense ? gatedFeedForward('mlp', hidden, feedForward) : expertTensors(config, experts, hidden),
    })
  },
  widths: { feedForward: true, fixed: layerNorms },
}

/** What each layer has, for a number of dense layers at the beginning. */
function perLayer(fields: Fields, kind: (layer: number, isDense: boolean) => string): string[] {
  const dense = Number(fields['first_k_dense_replace'] ?? 0)
  const layers = Math.min(Number(fields['num_hidden_layers']) || 0, 65_536)
  return Array.from({ length: layers }, (_, layer) => kind(layer, layer < dense))
}

/** Every fourth layer behind the dense ones sees all tokens, and the dense ones do. */
function layerTypes(fields: Fields): string[] {
  const dense = Number(fields['first_k_dense_replace'] ?? 0)
  const [before, behind] = [fields['prefix_dense_sliding_window_pattern'] ?? 1, fields['sliding_window_pattern'] ?? 4].map(Number)
  return perLayer(fields, (layer, isDense) => {
    const [at, step = 1] = isDense ? [layer, before] : [layer - dense, behind]
    return (at + 1) % step === 0 ? 'full_attention' : 'sliding_attention'
  })
}

/** @throws MqError CONFIG_INVALID where dense layers stand between those with experts. */
function denseLayers(config: ModelConfig): number {
  const types = config.get(listOf(word), 'mlp_layer_types')
  const dense = types.findIndex((type) => type !== 'dense')
  const first = dense === -1 ? types.length : dense
  if (types.slice(first).includes('dense')) {
    throw config.unsupported('mlp_layer_types has dense layers behind those with experts')
  }
  return first
}

function sharedKeys(shared: number, width: number): Entry[] {
  return [
    ['expert_shared_count', uint32(shared)],
    ['expert_shared_feed_forward_length', uint32(width * shared)],
  ]
}

function expertTensors(config: ModelConfig, experts: number, hidden: Dimensions['hidden']): TensorMapping[] {
  const width = config.get(size, 'intermediate_size')
  const shared = config.get(countOrNone, 'num_shared_experts')
  return [
    tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    ...routedExperts('mlp.experts', experts, hidden, width),
    ...(shared === 0 ? [] : gatedFeedForward('mlp.shared_experts', hidden, shared * width, { suffix: '_shexp' })),
  ]
}
