import { expect, test } from 'vitest'
import { exponential } from '../../../src/recipe/exponential.js'

// torch 2.9, torch.exp of float32 tensors.
test.each([
  [0, 0x3f800000],
  [-0, 0x3f800000],
  [1, 0x402df854],
  [-1, 0x3ebc5ab2],
  [0.5, 0x3fd3094c],
  [1.5, 0x408f69ff],
  [2.302734375, 0x4120061e],
  [-2.302734375, 0x3dccc4fa],
  [88.5, 0x7f4cdcc4],
  [89, 0x7f800000],
  [-87, 0x00b33687],
  [-103, 0x00000001],
  [-110, 0],
  [1.34375, 0x4075564b],
  [Math.fround(0.005), 0x3f80a440],
  [-12.25, 0x36a08fd8],
  [Math.fround(3.1415927), 0x41b92024],
])('exp(%d) has the bits of torch', (value, bits) => {
  const [found] = new Uint32Array(Float32Array.of(exponential(value)).buffer)
  expect(found?.toString(16)).toBe(bits.toString(16))
})

test('what is no number stays none', () => {
  expect(exponential(Number.NaN)).toBeNaN()
  expect(exponential(Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY)
  expect(exponential(Number.NEGATIVE_INFINITY)).toBe(0)
})
