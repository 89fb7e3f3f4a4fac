import { expect, test } from 'vitest'
import { compareRows } from '../../../src/runner/child/compare-rows.js'
import { divergenceOf, pairedDifference, studentConfidence } from '../../../src/verify/index.js'

const comparison = {
  contextLength: 6,
  chunks: 2,
  negativeLogLikelihoods: Float64Array.of(1, 2, 4, 5),
  baseNegativeLogLikelihoods: Float64Array.of(1, 3, 5, 7),
  divergences: Float64Array.of(0.25, 0.5, 1, 0.25),
  probabilityChanges: Float32Array.of(-0.5, 0.25, 0, 0.25),
  sameTop: Uint8Array.of(1, 1, 0, 1),
}

test('means, errors and quantiles are those of the figures', () => {
  const { kld, probabilityChange, sameTop, kldOfChunks } = divergenceOf(comparison)
  // mean of squares 0.34375 less the square of the mean, over n - 1
  expect(kld.mean.value).toBe(0.5)
  expect(kld.mean.standardError).toBeCloseTo(Math.sqrt((0.34375 - 0.25) / 3), 12)
  expect(kld).toMatchObject({ median: 0.375, minimum: 0.25, maximum: 1 })
  // 2.7 of the way through 0.25, 0.25, 0.5, 1
  expect(kld.quantiles['90']).toBeCloseTo(0.85, 6)
  expect(Object.keys(kld.quantiles).sort()).toEqual(['0.1', '1', '10', '5', '90', '95', '99', '99.9'])
  expect(kldOfChunks).toEqual([0.375, 0.625])

  expect(probabilityChange.mean.value).toBe(0)
  // squares 0.25, 0.0625, 0, 0.0625: mean 0.09375, of their squares 0.017578125
  expect(probabilityChange.rootMeanSquare.value).toBeCloseTo(Math.sqrt(0.09375), 12)
  const standardError = (0.5 / Math.sqrt(0.09375)) * Math.sqrt((0.017578125 - 0.09375 ** 2) / 3)
  expect(probabilityChange.rootMeanSquare.standardError).toBeCloseTo(standardError, 12)
  expect(probabilityChange.quantiles['75']).toBe(0.25)

  expect(sameTop.value).toBe(0.75)
  expect(sameTop.standardError).toBeCloseTo(Math.sqrt((0.75 * 0.25) / 3), 12)
})

test('the correlation is that of ln p', () => {
  // deviations -2 -1 1 2 and -3 -1 1 3
  expect(divergenceOf(comparison).correlation).toBeCloseTo(14 / Math.sqrt(10 * 20), 12)
})

test('a position is compared by its probabilities', () => {
  // the base: 1/2, 1/4, 1/4 as ln 2 steps down; the model: 1/4, 1/2, 1/4
  const base = { scale: Math.fround(Math.LN2), minimum: Math.fround(-Math.log(4)), codes: Uint16Array.of(1, 0, 0) }
  const logits = Float32Array.of(0, Math.LN2, 0)
  const compared = compareRows(logits, base, 1)
  // 1/2 ln 2 + 1/4 ln 1/2 + 0
  expect(compared.divergence).toBeCloseTo(Math.LN2 / 4, 6)
  expect(compared.negativeLogLikelihood).toBeCloseTo(Math.LN2, 6)
  expect(compared.baseNegativeLogLikelihood).toBeCloseTo(Math.log(4), 6)
  expect(compared.probabilityChange).toBeCloseTo(0.25, 6)
  expect(compared.sameTop).toBe(false)
  expect(compareRows(Float32Array.of(1, 0, 0), base, 1).sameTop).toBe(true)
})

test('two models are compared chunk by chunk', () => {
  const other = {
    ...comparison,
    divergences: Float64Array.of(0.5, 0.75, 1, 0.5),
    negativeLogLikelihoods: Float64Array.of(1, 2, 5, 6),
  }
  const { kld, logPerplexity, confidence } = pairedDifference(comparison, other)
  // chunks differ by -0.25 and -0.125, and by 0 and -1
  expect(kld.value).toBe(-0.1875)
  expect(kld.standardError).toBe(0.0625)
  expect(logPerplexity).toEqual({ value: -0.5, standardError: 0.5 })
  // t = 3 with one degree of freedom: 2 / pi * atan 3
  expect(confidence).toBeCloseTo((2 / Math.PI) * Math.atan(3), 12)
  expect(pairedDifference(comparison, comparison).confidence).toBe(0)
  expect(pairedDifference({ ...comparison, chunks: 1 }, { ...other, chunks: 1 })).toMatchObject({ confidence: 0 })
})

/** Two-sided 95 % and 99 % points from tables of Student's t. */
test.each([
  [12.706, 1, 0.95],
  [4.303, 2, 0.95],
  [3.182, 3, 0.95],
  [2.776, 4, 0.95],
  [2.228, 10, 0.95],
  [3.169, 10, 0.99],
  [2.045, 29, 0.95],
  [2.001, 59, 0.95],
])('t = %d with %i degrees of freedom is sure to %d', (t, degrees, confidence) => {
  expect(studentConfidence(t, degrees)).toBeCloseTo(confidence, 4)
})
