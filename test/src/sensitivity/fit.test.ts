import { describe, expect, it } from 'vitest'
import { fitSensitivities } from '../../../src/sensitivity/fit.js'

describe('fitSensitivities', () => {
  it('follows probes that all chunks agree on, up to a common factor', () => {
    const ratios = fitSensitivities([
      { saved: [0.3, 0.3, 0.3], expected: 10 },
      { saved: [0.1, 0.1, 0.1], expected: 10 },
    ])
    expect(ratios[0]).toBeCloseTo(1.5, 9)
    expect(ratios[1]).toBeCloseTo(0.5, 9)
  })

  it('is the mean of a normal distribution with a normal prior where chunks disagree', () => {
    // Mean 0.2 with a variance of ((0.2)^2 * 2 / 1) / 2 = 0.04; expected 0.2: relative variance 1, so that half is believed.
    const [noisy] = fitSensitivities([
      { saved: [0.4, 0], expected: 1 },
      { saved: [0, 0], expected: 0 },
    ])
    expect(noisy).toBeCloseTo(1, 9)
    const [up, down] = fitSensitivities([
      { saved: [0.5, 0.1], expected: 1 },
      { saved: [0.1, 0.1], expected: 1 },
    ])
    // Means 0.3 and 0.1 over 0.2 each; of the first the variance is 0.04, relative to 0.2 squared 1.
    expect(up).toBeCloseTo(1.25, 9)
    expect(down).toBeCloseTo(0.5, 9)
  })

  it('neither forgets nor overrates a group, and bears probes that save nothing', () => {
    const [lost, found] = fitSensitivities([
      { saved: [-0.1, -0.1], expected: 1 },
      { saved: [0.9, 0.9], expected: 0.01 },
    ])
    expect(lost).toBe(0.2)
    expect(found).toBe(5)
    expect(fitSensitivities([{ saved: [0, 0], expected: 1 }])).toEqual([1])
    expect(fitSensitivities([])).toEqual([])
  })
})
