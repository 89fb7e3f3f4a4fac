import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { makeBlueprint } from '../../../src/model/index.js'
import {
  add,
  constant,
  ggml,
  plain,
  type Recipe,
  readRecipe,
  scale,
  slice,
  sourceBytes,
  stack,
} from '../../../src/recipe/index.js'

const halves = plain('F16', { file: 0, start: 64, end: 80 }, [2, 4])
const nested = (depth: number): Recipe => (depth === 0 ? constant([1]) : add(nested(depth - 1), 1))

describe('readRecipe', () => {
  it.each(['samples/llama-kjv', 'samples/deepseek-kjv-moe'])('reads every recipe of %s as JSON has it', async (path) => {
    const { tensors } = await makeBlueprint(path)
    const recipes = tensors.map(({ recipe }) => recipe)
    expect(recipes.map((recipe) => readRecipe(JSON.parse(JSON.stringify(recipe))))).toEqual(recipes)
  })

  it.each<[string, unknown]>([
    ['no object', [1, 2]],
    ['an unknown operation', { op: 'toString', shape: [1] }],
    ['a shape that is not that of the values', { ...stack([halves, halves]), shape: [2, 4, 2] }],
    ['fewer bytes than the values take', { ...halves, range: { file: 0, start: 64, end: 78 } }],
    ['a range that ends before it starts', { ...halves, range: { file: 0, start: 80, end: 64 } }],
    ['bytes at a place that is no whole number', { ...halves, range: { file: 0, start: 0.5, end: 16.5 } }],
    ['a type of ggml by another name', { ...ggml('Q8_0', { file: 0, start: 0, end: 34 }, [1, 32]), type: 'q8_0' }],
    ['entries that there are not', { ...slice(halves, 0, 0, 1), end: 3, shape: [3, 4] }],
    ['powers that are no letters', { ...scale(halves, 1, 'mlno'), powers: 'ml1o' }],
    ['a value that is none', { ...add(halves, 1), value: null }],
    ['an operand that is none', { ...add(halves, 1), input: 'halves' }],
    ['too many operations in one another', nested(64)],
  ])('refuses %s', (_, value) => {
    expect(() => readRecipe(JSON.parse(JSON.stringify(value)))).toThrow(RangeError)
  })

  it('gives a recipe or a RangeError, whatever it is handed', () => {
    const json = fc.jsonValue()
    const like = fc.record({ op: fc.constantFrom('plain', 'stack', 'slice', 'constant'), shape: json, inputs: json, input: json })
    fc.assert(
      fc.property(fc.oneof(json, like), (value) => {
        try {
          expect(sourceBytes(readRecipe(value))).toBeGreaterThanOrEqual(0)
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
        }
      }),
    )
  })
})
