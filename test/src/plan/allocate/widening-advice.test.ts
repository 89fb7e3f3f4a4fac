import { expect, test } from 'vitest'
import { blueprintOf } from '../../../../bench/widening/config-blueprint.js'
import { planPreset } from '../../../../src/plan/allocate/index.js'

const llama = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 64,
  num_hidden_layers: 2,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
}

test.each([
  // Heads of 50 values make rows of whole blocks only at 128 heads, which is 64 times as many.
  [
    { hidden_size: 100, intermediate_size: 300, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 50 },
    ['hidden_size=256', 'intermediate_size=512'],
    'num_attention_heads',
  ],
  [
    { hidden_size: 576, intermediate_size: 1536, num_attention_heads: 9, num_key_value_heads: 3, head_dim: 64 },
    ['hidden_size=768', 'num_attention_heads=12'],
    'intermediate_size',
  ],
])('a preset names the widths that are worth widening: %o', async (sizes, named, left) => {
  const { notes } = planPreset(await blueprintOf('tiny', { ...llama, ...sizes }), 'Q4_K_M')
  const advice = notes.filter((note) => note.startsWith('Widen '))
  expect(advice).toHaveLength(1)
  for (const width of named) expect(advice[0]).toContain(`${width} (`)
  expect(advice[0]).not.toContain(left)
})
