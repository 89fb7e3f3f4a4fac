import { baseKeys, countKey, dimensionsOf } from '../base.js'
import { count, countOrNone, flag, listOf, type ModelConfig, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, routedExperts } from '../feed-forward.js'
import { uint32 } from '../metadata.js'
import { tensor } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'

/** SmallThinker: experts that are chosen before attention. */
export const smallThinker: Family = {
  architecture: 'smallthinker',
  classes: ['SmallThinkerForCausalLM'],
  fields: {
    defaults: { max_position_embeddings: 32_768, rms_norm_eps: 1e-6, rope_theta: 10_000, tie_word_embeddings: false },
    supported: {
      moe_enable_early_router: [true],
      moe_enable_secondary_experts: [false],
      moe_layer_layout: (value) => Array.isArray(value) && value.every((layer) => layer === 1),
      norm_topk_prob: [true, false],
      // llama.cpp knows the layers that do not rotate by their number, and only beside a window.
      rope_layout: (value, { fields }) =>
        Array.isArray(value) &&
        value.every((turns, layer) => turns === (usesWindow(fields['sliding_window_layout']) && layer % 4 === 0 ? 0 : 1)),
    },
    ignored: ['intermediate_size', 'model_name', 'moe_num_secondary_experts', 'moe_secondary_expert_size'],
  },
  keys: (config) => {
    const width = config.get(size, 'moe_ffn_hidden_size')
    return [
      ...baseKeys(config.with({ intermediate_size: width })),
      ...countKey(config, 'expert_count', 'moe_num_primary_experts'),
      ...countKey(config, 'expert_used_count', 'moe_num_active_primary_experts'),
      ['expert_feed_forward_length', uint32(width)],
      ['expert_gating_func', uint32(config.find(flag, 'moe_primary_router_apply_softmax') === true ? 1 : 2)],
      ...windowKey(config),
    ]
  },
  tensors: (config) => {
    const wide = config.with({ intermediate_size: config.get(size, 'moe_ffn_hidden_size') })
    const { layers } = dimensionsOf(wide)
    const experts = boundedExperts(config, layers, 'moe_num_primary_experts')
    return decoderTensors(wide, {
      attention: { bias: false },
      feedForward: ({ hidden, feedForward }) => [
        tensor('block_sparse_moe.primary_router.weight', 'ffn_gate_inp.weight', [experts, hidden]),
        ...routedExperts('block_sparse_moe.experts', experts, hidden, feedForward, { names: ['gate', 'up', 'down'] }),
      ],
    })
  },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
}

function usesWindow(layout: unknown): boolean {
  return Array.isArray(layout) && layout.some((layer) => layer !== 0)
}

function windowKey(config: ModelConfig): Entry[] {
  const layout = config.find(listOf(countOrNone), 'sliding_window_layout')
  const window = config.find(count, 'sliding_window_size')
  return usesWindow(layout) && window !== undefined ? [['attention.sliding_window', uint32(window)]] : []
}
