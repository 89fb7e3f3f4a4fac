import { describe, expect, test } from 'vitest'
import { checkAskedGates, checkGates } from '../../../src/verify/gates.js'
import { figures, gateError, parseGate, studentBound } from '../../../src/verify/index.js'
import { exampleReport } from '../../support/verify-report.js'

describe('a gate as it is written', () => {
  test.each([
    ['kld.q99<=0.5', 'kld.q99', 'most', 0.5],
    [' kld.q99.9 <= 5e-1 ', 'kld.q99.9', 'most', 0.5],
    ['kld<=.02', 'kld.mean', 'most', 0.02],
    ['same-top>=90%', 'same-top', 'least', 0.9],
    ['dp>=-1.5 %', 'dp.mean', 'least', -0.015],
    ['versus.kld<=0', 'versus.kld', 'most', 0],
    ['size<=1.5GiB', 'size', 'most', 1_610_612_736],
  ])('%s', (text, figure, bound, limit) => {
    expect(parseGate(text)).toEqual({ figure, bound, limit })
  })

  test.each([
    ['kld', /write a figure/],
    ['kld<0.5', /write a figure/],
    ['kld.q98<=0.5', /no figure kld\.q98; known are .*kld\.q99,/],
    ['constructor<=1', /no figure constructor/],
    ['kld<=many', /many is not a number/],
    ['kld<=1e999', /is not a number/],
    ['size<=3 parsecs', /not a size/],
  ])('%s is refused', (text, problem) => {
    expect(() => parseGate(text)).toThrow(
      expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringMatching(problem) }),
    )
  })
})

test('what cannot be held is refused before anything is measured', () => {
  const asked = (text: string, confidence?: number) => () => checkAskedGates([parseGate(text)], { versus: false, confidence })
  expect(asked('versus.kld<=0')).toThrow('(versus)')
  // the same figure passes without a confidence, and one that has an error with it
  expect(asked('kld.max<=5')()).toBeUndefined()
  expect(asked('kld.max<=5', 0.95)).toThrow('standard error')
  expect(asked('kld<=5', 0.3)).toThrow('at least 50%')
  expect(asked('kld<=5', 1)).toThrow('less than 100%')
  expect(asked('size<=5MB', 0.95)).toThrow('standard error')
  expect(asked('kld.q99.9<=5', 0.95)()).toBeUndefined()
})

test('a figure is held as it is, and with a confidence by the bound that it keeps', () => {
  // mean 0.5 with an error of 0.1 over 11 tokens: 1.812 is the one-sided 95 % point of Student's t with 10 degrees of freedom
  const report = exampleReport({ scoredTokens: 11, kld: { value: 0.5, standardError: 0.1 } })
  const held = (gate: string, confidence?: number) => checkGates([parseGate(gate)], report, confidence)[0]
  expect(held('kld<=0.5')).toEqual({
    name: 'mean KL divergence',
    figure: 'kld.mean',
    value: 0.5,
    standardError: 0.1,
    limit: 0.5,
    bound: 'most',
    passed: true,
  })
  expect(held('kld<=0.499')?.passed).toBe(false)
  expect(held('kld<=0.6813', 0.95)?.passed).toBe(true)
  expect(held('kld<=0.6811', 0.95)).toMatchObject({ passed: false, confidence: 0.95, edge: expect.closeTo(0.6812, 3) })
  expect(held('kld>=0.3187', 0.95)?.passed).toBe(true)
  expect(held('kld>=0.3189', 0.95)?.passed).toBe(false)
  // half and half is the figure itself
  expect(held('kld<=0.5', 0.5)?.passed).toBe(true)
})

test('no number passes no gate', () => {
  const report = exampleReport({ kld: { value: Number.NaN, standardError: Number.NaN } })
  for (const gate of ['kld<=1', 'kld>=0', 'versus.kld<=1']) expect(checkGates([parseGate(gate)], report)[0]?.passed).toBe(false)
})

test('the error of a gate says what it was held as', () => {
  const report = exampleReport({ scoredTokens: 11, kld: { value: 0.5, standardError: 0.1 } })
  const results = checkGates([parseGate('kld<=0.6'), parseGate('same-top>=99%')], report, 0.95)
  expect(gateError({ gates: results })?.message).toBe(
    'The mean KL divergence is 0.5000, with 95 % confidence up to 0.6812, but the gate requires at most 0.6.',
  )
  expect(gateError({ gates: results.slice(1) })?.details).toMatchObject({ limit: 'at least 99 %' })
})

test('every figure is found in a report by its name', () => {
  const report = exampleReport({})
  const missing = [...figures].filter(([, { of }]) => of(report) === undefined).map(([name]) => name)
  expect(missing).toEqual(['versus.kld'])
})

/** One-sided points from tables of Student's t. */
test.each([
  [0.95, 1, 6.314],
  [0.95, 10, 1.812],
  [0.99, 10, 2.764],
  [0.95, 29, 1.699],
  [0.95, 20_000, 1.645],
  [0.5, 10, 0],
])('with probability %d a t of %i degrees of freedom lies below %d', (confidence, degrees, t) => {
  expect(studentBound(confidence, degrees)).toBeCloseTo(t, 3)
})
