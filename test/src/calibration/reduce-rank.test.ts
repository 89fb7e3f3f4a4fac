import { expect, test } from 'vitest'
import { shrunkMeanSquares } from '../../../src/calibration/index.js'

test('an expert counts its own tokens and 64 of all experts', () => {
  const entry = { meanSquares: Float32Array.of(1, 10, 4, 2, 9, 9), counts: [192, 64, 0] }
  // of all tokens: (192 * 1 + 64 * 4) / 256 = 1.75 and (192 * 10 + 64 * 2) / 256 = 8
  expect([...shrunkMeanSquares(entry)]).toEqual([(3 * 1 + 1.75) / 4, (3 * 10 + 8) / 4, (4 + 1.75) / 2, (2 + 8) / 2, 1.75, 8])
})

test('a weight of one matrix, and experts that have seen nothing at all, stay as they are', () => {
  const dense = { meanSquares: Float32Array.of(1, 2), counts: [1] }
  expect(shrunkMeanSquares(dense)).toBe(dense.meanSquares)
  const unseen = { meanSquares: Float32Array.of(1, 1), counts: [0, 0] }
  expect(shrunkMeanSquares(unseen)).toBe(unseen.meanSquares)
})
