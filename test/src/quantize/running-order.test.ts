import { expect, test } from 'vitest'
import { inRunningOrder } from '../../../src/quantize/running-order.js'
import { countTasks, type TaskSource, tasksOf } from '../../../src/quantize/tasks.js'
import { plain, type Shape } from '../../../src/recipe/index.js'

const shapes: readonly (readonly [string, Shape])[] = [
  ['a.weight', [4096, 1024]],
  ['b.weight', [3, 700, 512]],
  ['c.weight', [2048, 1024]],
]

function sourceWith(known: TaskSource['known']): TaskSource {
  const tensors = shapes.map(([name, shape]) => {
    const recipe = plain('F32', { file: 0, start: 0, end: 4 * shape.reduce((product, size) => product * size, 1) }, shape)
    return { name, shape, role: 'ffn-up' as const, layer: 0, keepF32: false, recipe }
  })
  const places = shapes.map(([name]) => ({ name, type: 'Q4_K' as const, part: 0, offset: 0 }))
  return { tensors, places, paths: ['model.gguf.partial'], known, dampingOf: () => 0.3 }
}

test.each<[string, TaskSource['known']]>([
  ['without a calibration', {}],
  ['with inputs that tensors share', { inputOf: (_, matrix) => `matrix ${matrix}` }],
])('%s every task comes once, with the number that a journal knows it by', (_, known) => {
  const source = sourceWith(known)
  const inFile = [...tasksOf(source)].map(({ number, tensor, part, offset }) => [number, tensor, part, offset])
  const run = [...inRunningOrder(source, () => true)].map(({ number, tensor, part, offset }) => [number, tensor, part, offset])
  expect(run.toSorted(([a], [b]) => Number(a) - Number(b))).toEqual(inFile)
  expect(inFile.map(([number]) => number)).toEqual([...inFile.keys()])
  expect(countTasks(source)).toBe(inFile.length)
})
