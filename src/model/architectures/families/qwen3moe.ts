import { baseKeys, countKey } from '../base.js'
import { expertTensors, normedAttention, qwenExpertFields } from '../qwen.js'
import type { Family } from '../types.js'

/** Qwen3 with routed experts. */
export const qwen3moe: Family = {
  architecture: 'qwen3moe',
  classes: ['Qwen3MoeForCausalLM'],
  fields: qwenExpertFields,
  keys: (config) => [...baseKeys(config), ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size')],
  tensors: (config) => expertTensors(config, normedAttention, () => []),
  footprint: { attention: 'grouped', normalizedExperts: true },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
}
