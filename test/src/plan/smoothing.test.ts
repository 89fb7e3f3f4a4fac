import { expect, test } from 'vitest'
import { makeBlueprint } from '../../../src/model/index.js'
import { chooseSmoothing } from '../../../src/plan/smoothing.js'
import { samplePath } from '../../support/sample-models.js'

const model = await makeBlueprint(samplePath('llama-kjv'))

/** Inputs of one strength but for the first columns, in the readers of the first norm. */
const importance =
  (first: readonly number[]) =>
  (name: string): Float32Array | undefined => {
    if (!/^blk\.0\.attn_[qkv]\.weight$/.test(name)) return undefined
    const values = new Float32Array(256).fill(1)
    values.set(first)
    return values
  }

test('a column that stands out is divided by a power of two, a third of its excess; columns that are never used are left', () => {
  // 2^20 in power, 2^10 in strength: 2^3 at 0.3.
  const smoothing = chooseSmoothing(model, importance([2 ** 20, 0]))
  expect(smoothing).toEqual({ 'blk.0.attn_norm.weight': `pm${'m'.repeat(254)}` })
})

test('even inputs are left as they are', () => {
  expect(chooseSmoothing(model, importance([20, 20, 20]))).toBeUndefined()
  expect(chooseSmoothing(model, () => undefined)).toBeUndefined()
})
