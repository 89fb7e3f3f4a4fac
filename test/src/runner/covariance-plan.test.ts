import { expect, test } from 'vitest'
import { describePlan, formBytes, planCovariance } from '../../../src/runner/child/covariance-plan.js'
import type { SurveyedInput } from '../../../src/runner/child/input-survey.js'

const inputs = new Map<string, SurveyedInput>([
  ['narrow', { columns: 512, matrices: 1, routed: false }],
  ['wide', { columns: 4096, matrices: 1, routed: false }],
  ['heads', { columns: 128, matrices: 16, routed: false }],
  ['experts', { columns: 2048, matrices: 64, routed: true }],
  ['odd', { columns: 100, matrices: 1, routed: false }],
])
const total = (memory: number, rank: number | 'auto' = 'auto'): number => {
  const forms = planCovariance(inputs, { rank, memory })
  return [...inputs].reduce((sum, [key, input]) => sum + formBytes(input, forms.get(key) ?? expect.fail(key)), 0)
}

test('narrow inputs are kept whole, wide ones by three columns for each direction', () => {
  const forms = planCovariance(inputs, { rank: 'auto', memory: 2 ** 40 })
  expect(Object.fromEntries(forms)).toEqual({
    narrow: { kind: 'whole' },
    wide: { kind: 'sketch', width: 192 },
    heads: { kind: 'whole' },
    experts: { kind: 'sketch', width: 192 },
    odd: { kind: 'sketch', width: 0 },
  })
  // 512 * 513 / 2 + 4096 * 193 + 16 * 128 * 129 / 2 + 64 * 2048 * 193 + 100 numbers of 4 bytes
  expect(total(2 ** 40)).toBe(4 * (131_328 + 790_528 + 132_096 + 25_296_896 + 100))
})

test('an asked for rank holds for narrow inputs, too', () => {
  const forms = planCovariance(inputs, { rank: 32, memory: 2 ** 40 })
  expect(forms.get('narrow')).toEqual({ kind: 'sketch', width: 96 })
  expect(forms.get('heads')).toEqual({ kind: 'whole' })
})

test('what experts have of their own gives way first, and every bound holds down to the diagonals', () => {
  const forms = planCovariance(inputs, { rank: 'auto', memory: 60e6 })
  expect(forms.get('experts')).toEqual({ kind: 'sketch', width: 96 })
  expect(forms.get('wide')).toEqual({ kind: 'sketch', width: 192 })
  const groups = describePlan(inputs, forms, 'auto')
  expect(groups.find(({ kind }) => kind === 'experts')).toMatchObject({
    form: 'sketch',
    rank: 64,
    why: 'lowered to fit the memory limit',
  })
  for (const memory of [80e6, 20e6, 5e6, 3e6, 1e6, 600e3]) expect(total(memory)).toBeLessThanOrEqual(memory)
  expect(total(1)).toBe(4 * (512 + 4096 + 16 * 128 + 64 * 2048 + 100))
})
