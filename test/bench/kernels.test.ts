import { expect, test } from 'vitest'
import { benchKernels, weightedErrors } from '../../bench/kernels.js'
import { oracle } from '../support/ggml-oracle.js'

test('errors are weighted by the columns, and by ggml’s rule', () => {
  const values = new Float32Array(32).fill(3)
  const approximations = new Float32Array(32).fill(3)
  approximations[1] = 3.5
  const importance = new Float32Array(32).fill(1)
  importance[1] = 2
  // Legacy types: sigma2 is the mean square of the row, 9; the one error is 2 * 0.5^2, and sqrt(9 + 9) as much by ggml's rule.
  const legacy = weightedErrors('Q4_0', values, approximations, 32, importance)
  expect(legacy.plain).toBeCloseTo(0.5, 12)
  expect(legacy.conventional).toBeCloseTo(0.5 * Math.sqrt(18), 12)
  // IQ4_NL: twice the mean square of the block.
  expect(weightedErrors('IQ4_NL', values, approximations, 32).conventional).toBeCloseTo(0.25 * Math.sqrt(27), 12)
})

test.skipIf(!oracle.available)(`one measurement for each type, data and importance (${oracle.name})`, async () => {
  const found = []
  for await (const measurement of benchKernels({ types: ['Q8_0'], importances: ['none'], rows: 4, rounds: 1 })) {
    found.push(measurement)
  }
  expect(found.map(({ data }) => data)).toEqual(['gaussian', 'student-t4', 'sample'])
  // Q8_0 is written with ggml's own bytes.
  for (const { errorRatio, error } of found) {
    expect(error).toBeGreaterThan(0)
    expect(errorRatio).toBe(1)
  }
})
