import { expect, test } from 'vitest'
import { perplexityOf, perplexityRatio } from '../../../src/verify/index.js'

test('perplexity and its standard error, worked out by hand', () => {
  // mean 2, variance over n = 2/3, standard error of the mean = sqrt(2/3 / 2)
  const { value, standardError } = perplexityOf([1, 2, 3])
  expect(value).toBeCloseTo(Math.E ** 2, 12)
  expect(standardError).toBeCloseTo(Math.E ** 2 * Math.sqrt(1 / 3), 12)
})

test('a ratio of paired tokens has no error where the differences are all alike', () => {
  const { value, standardError } = perplexityRatio([1.5, 2.5, 9.5], [1, 2, 9])
  expect(value).toBeCloseTo(Math.sqrt(Math.E), 12)
  expect(standardError).toBe(0)
})

test('the ratio equals the quotient of the two perplexities', () => {
  const model = [0.3, 2.2, 1.9, 4.4]
  const reference = [0.2, 2.5, 1.1, 4]
  expect(perplexityRatio(model, reference).value).toBeCloseTo(perplexityOf(model).value / perplexityOf(reference).value, 12)
})

test('runs over different tokens are not compared', () => {
  expect(() => perplexityRatio([1], [1, 2])).toThrow(RangeError)
})
