import { expect, test } from 'vitest'
import type { Blueprint, BlueprintTensor } from '../../../src/model/index.js'
import type { Measure } from '../../../src/plan/allocate/index.js'
import { sharedMeasure } from '../../../src/plan/shared-measure.js'
import { finish } from '../../../src/progress/index.js'
import { place, plain } from '../../../src/recipe/index.js'

const recipe = plain('F32', { file: 0, start: 0, end: 128 }, [1, 32])
const tensor = (name: string): BlueprintTensor => ({ name, shape: [1, 32], role: 'other', keepF32: false, recipe })
const model = (...tensors: BlueprintTensor[]): Blueprint => ({
  architecture: 'llama',
  layers: 1,
  experts: 0,
  metadata: new Map(),
  files: [],
  tensors,
  sourceType: 'F32',
  notes: [],
})

test('what forms of a model have in common is measured once', async () => {
  const asked: string[] = []
  const measure: Measure = async function* ({ requests }) {
    yield { stage: 'measure', done: 1, total: 1, unit: 'tensors' }
    asked.push(...requests.flatMap(({ tensor, types }) => types.map((type) => `${tensor} ${type}`)))
    return new Map(
      requests.map(({ tensor, types }) => [tensor, new Map(types.map((type) => [type, { relativeError: asked.length }]))]),
    )
  }
  const shared = sharedMeasure(measure)
  const [a, b] = [tensor('a'), tensor('b')]
  const wide = { ...b, shape: [1, 64], recipe: place(recipe, 1, [0, 0, 32], 64) }
  const requests = ['a', 'b'].map((name) => ({ tensor: name, types: ['Q8_0', 'Q4_0'] as const }))
  const first = await finish(shared({ blueprint: model(a, b), requests }))
  const second = await finish(shared({ blueprint: model(a, wide), requests: [...requests, { tensor: 'a', types: ['Q5_0'] }] }))
  expect(asked).toEqual(['a Q8_0', 'a Q4_0', 'b Q8_0', 'b Q4_0', 'b Q8_0', 'b Q4_0', 'a Q5_0'])
  expect(second.get('a')?.get('Q8_0')).toBe(first.get('a')?.get('Q8_0'))
  expect(second.get('b')?.get('Q8_0')).not.toEqual(first.get('b')?.get('Q8_0'))
})
