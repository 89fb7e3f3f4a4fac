import { expect, it } from 'vitest'
import { routedExperts } from '../../../../src/model/architectures/feed-forward.js'
import { withFusedExperts } from '../../../../src/model/architectures/fused-experts.js'
import { constant, evaluateRows, rowCount } from '../../../../src/recipe/index.js'

const [experts, hidden, width] = [2, 3, 2]
const noRead = () => Promise.reject(new Error('nothing is read'))
const noCodec = () => Promise.reject(new Error('nothing is decoded'))

/** Numbers from `first`, as many as the shape holds. */
const counted = (first: number, shape: readonly number[]) =>
  constant(
    Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, index) => first + index),
    shape,
  )

it.each([
  ['gate_proj', 'up_proj', 'down_proj'],
  ['w1', 'w3', 'w2'],
] as const)('splits tensors of all experts as the matrices of each: %s, %s, %s', async (...names) => {
  const mappings = routedExperts('mlp.experts', experts, hidden, width, { names })
  const both = withFusedExperts(mappings, (name) => name === 'mlp.experts.down_proj')
  expect(both.map(({ name, shape }) => [name, shape])).toEqual([
    ['mlp.experts.down_proj', [experts, hidden, width]],
    ['mlp.experts.gate_up_proj', [experts, 2 * width, hidden]],
  ])
  const outputs = both.flatMap((mapping, index) => mapping.toGguf(counted(100 * index, mapping.shape)))
  const values = await Promise.all(
    outputs.map(async ({ name, recipe }) => [
      name,
      [...(await evaluateRows(recipe, 0, rowCount(recipe), noRead as never, noCodec as never))],
    ]),
  )
  expect(Object.fromEntries(values)).toEqual({
    'ffn_down_exps.weight': [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    // Of each expert, `width` rows of the gate, then as many of the up-projection.
    'ffn_gate_exps.weight': [100, 101, 102, 103, 104, 105, 112, 113, 114, 115, 116, 117],
    'ffn_up_exps.weight': [106, 107, 108, 109, 110, 111, 118, 119, 120, 121, 122, 123],
  })
})

it('leaves mappings alone where the checkpoint has a matrix for each expert', () => {
  const mappings = routedExperts('mlp.experts', experts, hidden, width)
  expect(withFusedExperts(mappings, () => false)).toBe(mappings)
})
