import { expect, test } from 'vitest'
import { smoothedInputs } from '../../../src/calibration/index.js'
import { covarianceFrom } from '../../../src/covariance/index.js'
import type { InputCovariances } from '../../../src/engine/index.js'
import type { Blueprint, BlueprintTensor } from '../../../src/model/index.js'
import { plain } from '../../../src/recipe/index.js'

const tensor = (name: string, shape: readonly number[], role: BlueprintTensor['role']): BlueprintTensor => {
  const bytes = 4 * shape.reduce((product, size) => product * size, 1)
  const recipe = plain('F32', { file: 0, start: 0, end: bytes }, shape)
  return { name, shape, role, layer: 0, keepF32: shape.length === 1, recipe }
}
const model: Pick<Blueprint, 'architecture' | 'tensors'> = {
  architecture: 'llama',
  tensors: [
    tensor('blk.0.attn_norm.weight', [2], 'norm'),
    tensor('blk.0.attn_q.weight', [2, 2], 'attention-q'),
    tensor('blk.0.attn_output.weight', [2, 2], 'attention-output'),
  ],
}
const noRows = async (): Promise<never> => {
  throw new Error('no weights are read')
}
const full = Float64Array.of(1, 2, 2, 3)
const low = { diagonal: Float64Array.of(7, 8), factors: Float64Array.of(1, 2) }

const inputsWith = (covariance: { full: Float64Array } | typeof low): InputCovariances => ({
  digest: 'd',
  importance: () => Float32Array.of(5, 6),
  inputOf: (name) => (name.includes('attn_q') ? 'in' : 'out'),
  rankOf: (key) => (key === 'in' ? 'whole' : 1),
  source: async () => ({ kind: 'known', covariance }),
  heldOut: async (key) => (key === 'in' ? Float32Array.of(1, 2, 3, 4) : Float32Array.of(9, 9)),
})

// The first column divided by 2, the second multiplied by 4.
const smoothing = { 'blk.0.attn_norm.weight': 'nk' }

test('what is known of a scaled input is that of its scaled columns; other inputs stay', async () => {
  const inputs = smoothedInputs(inputsWith({ full }), model, smoothing)
  const key = inputs.inputOf('blk.0.attn_q.weight', 0) as string
  expect(key).not.toBe('in')
  expect([...(inputs.importance('blk.0.attn_q.weight') ?? [])]).toEqual([5 / 4, 6 * 16])
  expect([...(inputs.importance('blk.0.attn_output.weight') ?? [])]).toEqual([5, 6])
  expect(inputs.rankOf(key)).toBe('whole')
  expect(await covarianceFrom(await inputs.source(key), noRows)).toEqual({ full: Float64Array.of(1 / 4, 4, 4, 48) })
  expect([...(await inputs.heldOut(key))]).toEqual([0.5, 8, 1.5, 16])
  expect(inputs.inputOf('blk.0.attn_output.weight', 0)).toBe('out')
  expect([...(await inputs.heldOut('out'))]).toEqual([9, 9])
})

test('a diagonal with directions is scaled alike', async () => {
  const inputs = smoothedInputs(inputsWith(low), model, smoothing)
  const source = await inputs.source(inputs.inputOf('blk.0.attn_q.weight', 0) as string)
  expect(await covarianceFrom(source, noRows)).toEqual({
    diagonal: Float64Array.of(7 / 4, 8 * 16),
    factors: Float64Array.of(0.5, 8),
  })
})
