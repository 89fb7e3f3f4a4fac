import { expect, test } from 'vitest'
import { nearest } from '../../../src/collections/index.js'

test('the names that take the fewest changes come first, whatever their case', () => {
  const names = ['LlamaForCausalLM', 'Qwen2ForCausalLM', 'Qwen3MoeForCausalLM', 'Qwen3ForCausalLM', 'MptForCausalLM']
  expect(nearest('qwen4forcausallm', names, 3)).toEqual(['Qwen2ForCausalLM', 'Qwen3ForCausalLM', 'Qwen3MoeForCausalLM'])
  // kitten -> sitting takes three changes, kitten -> mitten one
  expect(nearest('kitten', ['sitting', 'mitten'], 1)).toEqual(['mitten'])
  expect(nearest('', ['ab', 'a'], 2)).toEqual(['a', 'ab'])
})
