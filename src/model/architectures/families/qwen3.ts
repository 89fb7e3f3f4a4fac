import { baseKeys } from '../base.js'
import { poolingKeys } from '../pooling.js'
import { denseRows, normedAttention, qwenDefaults, qwenInert, windowed, withRoot } from '../qwen.js'
import type { Family } from '../types.js'

/** Qwen3: norms of each head's queries and keys in place of biases. */
export const qwen3: Family = {
  architecture: 'qwen3',
  classes: ['Qwen3ForCausalLM', 'Qwen3Model'],
  fields: { defaults: { ...qwenDefaults, head_dim: 128 }, supported: windowed, inert: qwenInert },
  keys: async (config) => [...baseKeys(config), ...(await poolingKeys(config))],
  tensors: (config) => denseRows(config, normedAttention),
  footprint: { attention: 'grouped' },
  quirks: { rename: withRoot },
}
