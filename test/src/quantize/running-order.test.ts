import { expect, test } from 'vitest'
import { keyText } from '../../../src/engine/executor.js'
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
  const locations = shapes.map(([name]) => ({ name, type: 'Q4_K' as const, part: 0, offset: 0 }))
  return { tensors, locations, paths: ['model.gguf.partial'], known, dampingOf: () => 0.3 }
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

test('tasks that need the same of a covariance come one after another, and say what the next ones need', () => {
  // a.weight and c.weight read one input, as q and k do; b.weight has one for each of its three matrices
  const source = sourceWith({ inputOf: (tensor, matrix) => (tensor === 'b.weight' ? `expert ${matrix}` : 'layer input') })
  const needsOf = ({ needs = [] }: { readonly needs?: readonly Parameters<typeof keyText>[0][] }): string =>
    needs.map(keyText).join()
  const runsOf = (tasks: readonly string[]): number => tasks.filter((needs, index) => needs !== tasks[index - 1]).length
  const inFile = [...tasksOf(source)].map(needsOf)
  const running = [...inRunningOrder(source, () => true)]
  const ordered = running.map(needsOf)
  const different = new Set(ordered).size
  expect(different).toBe(4)
  expect(runsOf(ordered)).toBe(different)
  expect(runsOf(inFile)).toBe(5)
  const last = running.at(-1)
  for (const { needs = [], nextNeeds = [] } of running) {
    const next = running[running.findLastIndex((task) => needsOf(task) === needs.map(keyText).join()) + 1]
    const soon = (next?.needs ?? []).map(keyText)
    expect(nextNeeds.map(keyText).slice(0, soon.length)).toEqual(soon)
  }
  expect(last?.nextNeeds ?? []).toEqual([])
})
