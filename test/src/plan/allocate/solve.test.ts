import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Choice, type Items, sum } from '../../../../src/plan/allocate/greedy.js'
import { solve } from '../../../../src/plan/allocate/solve.js'

const choice = fc.record({
  bytes: fc.integer({ min: 1, max: 60 }),
  cost: fc.integer({ min: 0, max: 1000 }).map((cost) => cost / 8),
})
const instance = fc.record({
  items: fc.array(fc.array(choice, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 6 }),
  room: fc.double({ min: 0, max: 1.2, noNaN: true }),
})

/** Smallest choices, plus a share of what the largest would need on top. */
function budgetOf(items: Items, room: number): number {
  const total = (pick: (...bytes: number[]) => number): number =>
    items.reduce((bytes, choices) => bytes + pick(...choices.map((one) => one.bytes)), 0)
  return Math.floor(total(Math.min) + room * (total(Math.max) - total(Math.min)))
}

/** The least cost, by trying everything. */
function minCost(items: Items, budget: number): number {
  const [first, ...rest] = items
  if (first === undefined) return budget >= 0 ? 0 : Number.POSITIVE_INFINITY
  return Math.min(
    ...first.map(({ bytes, cost }) => (bytes > budget ? Number.POSITIVE_INFINITY : cost + minCost(rest, budget - bytes))),
  )
}

describe('solve', () => {
  it('finds what trying everything finds', () => {
    fc.assert(
      fc.property(instance, ({ items, room }) => {
        const budget = budgetOf(items, room)
        const solved = solve(items, budget)
        expect(solved.exact).toBe(true)
        expect(solved.bytes).toBe(sum(items, solved.picks, 'bytes'))
        expect(solved.bytes).toBeLessThanOrEqual(budget)
        expect(solved.cost).toBeCloseTo(minCost(items, budget), 9)
        expect(solved.bound).toBeLessThanOrEqual(solved.cost + 1e-9)
      }),
      { numRuns: 1000 },
    )
  })

  it('stays within the budget and near the bound when it must drop states', () => {
    fc.assert(
      fc.property(instance, ({ items, room }) => {
        const budget = budgetOf(items, room)
        const solved = solve(items, budget, 1)
        expect(solved.bytes).toBeLessThanOrEqual(budget)
        // The greedy solution is off by less than the step that did not fit.
        const widest = Math.max(...items.map((choices) => Math.max(...choices.map(({ cost }) => cost))))
        expect(solved.cost).toBeLessThanOrEqual(minCost(items, budget) + widest)
      }),
    )
  })

  it('refuses a budget below the smallest choices', () => {
    expect(() => solve([[{ bytes: 5, cost: 1 }], [{ bytes: 6, cost: 0 }]], 10)).toThrow(RangeError)
  })

  it('takes the best of everything where the budget allows it', () => {
    const items: Choice[][] = [
      [
        { bytes: 1, cost: 2 },
        { bytes: 4, cost: 1 },
        { bytes: 9, cost: 1 },
      ],
    ]
    expect(solve(items, 100)).toMatchObject({ picks: [1], bytes: 4, cost: 1, exact: true })
  })

  it('comes within a millionth of the bound for a thousand tensors of fifteen types', () => {
    const types = [1.75, 2.06, 2.31, 2.56, 2.63, 3.06, 3.44, 4.25, 4.5, 4.52, 5.5, 6.56, 8.5, 16, 32]
    const items = Array.from({ length: 1000 }, (_, index): Choice[] => {
      const weights = 2 ** (10 + (index % 7)) * (1 + (index % 3))
      const sensitivity = 1 + ((index * 37) % 11)
      return types.map((bits) => ({
        bytes: Math.round((weights * bits) / 8),
        cost: sensitivity * 4 ** -bits * (1 + ((index * 13) % 17) / 50),
      }))
    })
    const budget = budgetOf(items, 0.05)
    const solved = solve(items, budget)
    expect(solved.bytes).toBeLessThanOrEqual(budget)
    expect(solved.bytes).toBeGreaterThan(0.9999 * budget)
    expect(solved.cost / solved.bound).toBeLessThan(1 + 1e-5)
    expect(solve(items, budget).picks).toEqual(solved.picks)
  })
})
