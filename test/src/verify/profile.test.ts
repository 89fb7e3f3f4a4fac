import { expect, test } from 'vitest'
import { divergenceOf } from '../../../src/verify/index.js'
import { profileOf } from '../../../src/verify/profile.js'

const comparison = {
  contextLength: 6,
  chunks: 2,
  negativeLogLikelihoods: Float64Array.of(1, 2, 4, 5),
  baseNegativeLogLikelihoods: Float64Array.of(1, 3, 5, 7),
  divergences: Float64Array.of(0.25, 0.5, 1, 0),
  probabilityChanges: Float32Array.of(-0.5, 0.25, 0, 1),
  sameTop: Uint8Array.of(1, 1, 0, 1),
}

test('means are taken of each chunk, and of each position over the chunks', () => {
  const { chunks, positions } = profileOf(comparison)
  expect(chunks).toEqual({
    negativeLogLikelihood: [1.5, 4.5],
    referenceNegativeLogLikelihood: [2, 6],
    kld: [0.375, 0.5],
    sameTop: [1, 0.5],
  })
  // of six tokens the last two are scored
  expect(positions).toEqual({
    first: 4,
    negativeLogLikelihood: [2.5, 3.5],
    referenceNegativeLogLikelihood: [3, 5],
    kld: [0.625, 0.25],
    sameTop: [0.5, 1],
  })
})

test("the reference's own figures take the place of those of the file", () => {
  const own = Float64Array.of(2, 2, 2, 6)
  expect(profileOf(comparison, own).chunks.referenceNegativeLogLikelihood).toEqual([2, 4])
})

test('histograms count every token once', () => {
  const { kld, probabilityChange } = profileOf(comparison).histograms
  const inBins = ({ edges, counts }: typeof kld) =>
    counts.flatMap((count, index) => (count === 0 ? [] : [{ count, from: edges[index] ?? 0, to: edges[index + 1] ?? 0 }]))
  expect(inBins(kld).map(({ count }) => count)).toEqual([1, 1, 1])
  for (const [index, value] of [0.25, 0.5, 1].entries()) {
    const { from = 2, to = 0 } = inBins(kld)[index] ?? {}
    expect(from).toBeLessThanOrEqual(value)
    expect(to).toBeGreaterThan(value)
    // eight bins a decade
    expect(to / from).toBeCloseTo(10 ** (1 / 8), 7)
  }
  expect([kld.below, kld.above]).toEqual([1, 0])
  expect(inBins(probabilityChange).map(({ count }) => count)).toEqual([1, 1, 1])
  expect(inBins(probabilityChange)[1]).toMatchObject({ from: -1e-5, to: 1e-5 })
  expect([probabilityChange.below, probabilityChange.above]).toEqual([0, 1])
})

test('quantiles of evenly spread values have the standard error of theory', () => {
  const count = 10_001
  const even = Float64Array.from({ length: count }, (_, index) => index / (count - 1))
  const filled = { ...comparison, chunks: 1, divergences: even, probabilityChanges: Float32Array.from(even) }
  const { quantileErrors } = divergenceOf({
    ...filled,
    sameTop: new Uint8Array(count),
    negativeLogLikelihoods: even,
    baseNegativeLogLikelihoods: even,
  }).kld
  // sqrt(p (1 - p) / n) over the density, which is 1
  for (const part of [0.5, 0.9, 0.99]) expect(quantileErrors[100 * part]).toBeCloseTo(Math.sqrt((part * (1 - part)) / count), 5)
})
