import { groupedAttention } from '../attention.js'
import { baseKeys } from '../base.js'
import { withRoot } from '../ends.js'
import { poolingKeys } from '../pooling.js'
import { denseRows, qwenDefaults, qwenInert, windowed } from '../qwen.js'
import type { Family } from '../types.js'

/** Qwen2 and 2.5: as Llama, with biases of queries, keys and values. */
export const qwen2: Family = {
  architecture: 'qwen2',
  classes: ['Qwen2ForCausalLM', 'Qwen2Model'],
  fields: { defaults: qwenDefaults, supported: windowed, inert: qwenInert },
  keys: async (config) => [...baseKeys(config), ...(await poolingKeys(config))],
  tensors: (config) => denseRows(config, (dimensions) => groupedAttention(dimensions)),
  footprint: { attention: 'grouped' },
  quirks: { isSeventyBillion: (layers) => layers === 80, rename: withRoot },
}
