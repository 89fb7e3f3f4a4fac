import { describe, expect, test } from 'vitest'
import { blueprintOf } from '../../../../bench/widening/config-blueprint.js'
import { type Blueprint, usefulChanges, type Widths, widen } from '../../../../src/model/index.js'
import { planBits, planPreset } from '../../../../src/plan/allocate/index.js'
import { finish } from '../../../../src/progress/index.js'

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

interface Refused {
  readonly suggestion: string
  readonly details: { readonly minBytes: number }
}

const refusedOf = (model: Blueprint): Promise<Refused> =>
  finish(planBits(model, { bits: 0.1 })).then(
    () => expect.fail('0.1 bits'),
    (error: unknown) => error as Refused,
  )

describe('a budget below the minimum', () => {
  test.each<[object, number, Readonly<Partial<Record<keyof Widths, number>>>]>([
    // From 4.5 to 1.56 bits, in 4 / 3 of the columns.
    [
      { hidden_size: 576, intermediate_size: 1536, num_attention_heads: 9, num_key_value_heads: 3, head_dim: 64 },
      2,
      { embedding_length: 768 },
    ],
    // The same, in 4 times the columns.
    [{ hidden_size: 64, intermediate_size: 1536, num_attention_heads: 4, num_key_value_heads: 4, head_dim: 64 }, 0, {}],
  ])('is told to widen where the minimum gets lower, and nowhere else: %o', async (sizes, advised, widths) => {
    const model = await blueprintOf('tiny', { ...llama, ...sizes })
    const { suggestion, details } = await refusedOf(model)
    const named = [...suggestion.matchAll(/\w+=\d+ \(/g)]
    expect(named).toHaveLength(advised)
    for (const width of Object.values(widths)) expect(suggestion).toContain(`=${width} (`)
    const wide = await refusedOf(widen(model, advised === 0 ? usefulChanges(model) : widths))
    if (advised === 0) expect(wide.details.minBytes).toBeGreaterThan(details.minBytes)
    else expect(wide.details.minBytes).toBeLessThan(details.minBytes)
  })
})
