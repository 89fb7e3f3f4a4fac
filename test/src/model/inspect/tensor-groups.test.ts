import { expect, test } from 'vitest'
import { groupTensors } from '../../../../src/model/inspect/index.js'

const tensor = (name: string, type = 'F16', shape: readonly number[] = [2, 2]) => ({ name, type, shape, sizeBytes: 8 })

test('tensors that differ in numbers alone share a group, in the order of the first', () => {
  const groups = groupTensors([
    tensor('token_embd.weight'),
    tensor('blk.0.ffn_down.weight', 'Q6_K'),
    ...[1, 2, 10].map((layer) => tensor(`blk.${layer}.ffn_down.weight`, 'Q4_K')),
    tensor('blk.5.ffn_down.weight', 'Q6_K'),
    tensor('blk.6.ffn_down.weight', 'Q6_K', [4, 2]),
  ])
  expect(groups.map(({ name, tensors, sizeBytes }) => [name, tensors.length, sizeBytes])).toEqual([
    ['token_embd.weight', 1, 8],
    ['blk.{0,5}.ffn_down.weight', 2, 16],
    ['blk.{1-2,10}.ffn_down.weight', 3, 24],
    ['blk.6.ffn_down.weight', 1, 8],
  ])
})

test('several numbers are each shown, those that are always the same as they are', () => {
  const names = [1, 2].flatMap((layer) => [0, 1, 2].map((expert) => `model.layers.${layer}.experts.${expert}.w.0.weight`))
  expect(groupTensors(names.map((name) => tensor(name))).map(({ name }) => name)).toEqual([
    'model.layers.{1-2}.experts.{0-2}.w.0.weight',
  ])
})

test('numbers inside words are part of the name', () => {
  expect(groupTensors([tensor('w1.weight'), tensor('w2.weight')])).toHaveLength(2)
})
