import { expect, test } from 'vitest'
import { widenedImportance, widenedInputs } from '../../../src/calibration/index.js'
import { covarianceFrom } from '../../../src/covariance/index.js'
import type { InputCovariances } from '../../../src/engine/index.js'
import type { BlueprintTensor } from '../../../src/model/index.js'
import { constant, place } from '../../../src/recipe/index.js'

// Two experts with rows of two columns, which come to stand at 0 and 2 of four.
const runs = [0, 0, 1, 1, 2, 1]
const recipe = place(constant([1, 2, 3, 4], [2, 1, 2]), 2, runs, 4)
const tensor: BlueprintTensor = { name: 'w', shape: recipe.shape, role: 'other', keepF32: false, recipe, columns: runs }
const model = { tensors: [tensor, { ...tensor, name: 'same', columns: undefined } as unknown as BlueprintTensor] }
const noRows = async (): Promise<never> => {
  throw new Error('no weights are read')
}

const inputs: InputCovariances = {
  digest: 'd',
  importance: (name) => (name === 'w' ? Float32Array.of(1, 2, 3, 4) : Float32Array.of(5, 6)),
  inputOf: (name, matrix) => (name === 'w' ? `in#${matrix}` : undefined),
  rankOf: () => 'whole',
  source: async (input) => ({
    kind: 'known',
    covariance:
      input === 'in#0'
        ? { full: Float64Array.of(1, 2, 2, 3) }
        : { diagonal: Float64Array.of(7, 8), factors: Float64Array.of(1, 2, 3, 4) },
  }),
  heldOut: async () => Float32Array.of(1, 2, 3, 4),
}

test('an importance matrix has nothing for the columns that are added, expert by expert', () => {
  const wide = widenedImportance(inputs.importance, model)
  expect([...(wide('w') ?? [])]).toEqual([1, 0, 2, 0, 3, 0, 4, 0])
  expect([...(wide('same') ?? [])]).toEqual([5, 6])
})

test('covariances and held-out rows have zeros there', async () => {
  const wide = widenedInputs(inputs, model)
  const whole = await covarianceFrom(await wide.source('in#0'), noRows)
  expect(whole).toEqual({ full: Float64Array.of(1, 0, 2, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 0, 0) })
  const low = await covarianceFrom(await wide.source('in#1'), noRows)
  expect(low).toEqual({ diagonal: Float64Array.of(7, 0, 8, 0), factors: Float64Array.of(1, 0, 2, 0, 3, 0, 4, 0) })
  expect([...(await wide.heldOut('in#0'))]).toEqual([1, 0, 2, 0, 3, 0, 4, 0])
  expect(await wide.source('other')).toEqual(await inputs.source('other'))
})
