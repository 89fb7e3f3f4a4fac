import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Covariance } from '../../../formats/ggml/covariance.js'
import { covarianceFrom } from '../../../src/covariance/index.js'
import { addUses, outputPower, rowPower } from '../../../src/covariance/tied-covariance.js'
import type { Recipe } from '../../../src/recipe/index.js'

const [rows, columns] = [6, 4]
const matrix = (length: number) => fc.array(fc.double({ min: -4, max: 4, noNaN: true }), { minLength: length, maxLength: length })

/** e H e^T of every row, written out. */
function power(values: readonly number[], covariance: Covariance): number {
  let total = 0
  for (let start = 0; start < values.length; start += columns) {
    const row = values.slice(start, start + columns)
    if ('full' in covariance) {
      total += row.reduce(
        (sum, a, i) => sum + row.reduce((part, b, j) => part + a * b * (covariance.full[i * columns + j] ?? 0), 0),
        0,
      )
      continue
    }
    total += row.reduce((sum, a, i) => sum + a * a * (covariance.diagonal[i] ?? 0), 0)
    const { factors = new Float64Array() } = covariance
    for (let k = 0; k < factors.length; k += columns) total += row.reduce((sum, a, i) => sum + a * (factors[k + i] ?? 0), 0) ** 2
  }
  return total
}

/** tr(W diag(H) W^T). */
function uncorrelated(values: readonly number[], covariance: Covariance): number {
  return values.reduce((sum, value, at) => {
    const one = Array.from({ length: columns }, (_, i) => (i === at % columns ? value : 0))
    return sum + power(one, covariance)
  }, 0)
}

const full = matrix(2 * columns).map((half): Covariance => {
  const at = (i: number, j: number): number =>
    (half[i] ?? 0) * (half[j] ?? 0) + (half[columns + i] ?? 0) * (half[columns + j] ?? 0)
  return {
    full: Float64Array.from({ length: columns ** 2 }, (_, k) => at(Math.floor(k / columns), k % columns) + (k % 5 === 0 ? 1 : 0)),
  }
})
const lowRank = matrix(2 * columns).map(
  (values): Covariance => ({
    diagonal: Float64Array.from(values.slice(0, columns), (value) => 0.5 + Math.abs(value)),
    factors: Float64Array.from(values.slice(columns)),
  }),
)

describe('addUses', () => {
  it.each([
    ['whole covariances', full, full],
    ['low-rank ones', lowRank, lowRank],
    ['one of each', full, lowRank],
  ])('gives errors the damage that they do in both uses, each in its own metric: %s', async (_, first, second) => {
    const instance = fc.record({ weights: matrix(rows * columns), errors: matrix(rows * columns), first, second })
    await fc.assert(
      fc.asyncProperty(instance, async ({ weights, errors, first: one, second: other }) => {
        const weight = weights.map((value) => Math.fround(value + Math.sign(value || 1)))
        const recipe: Recipe = { op: 'constant', values: weight, shape: [rows, columns] }
        const evaluate = async (_recipe: Recipe, start: number, end: number): Promise<Float32Array> =>
          Float32Array.from(weight.slice(start * columns, end * columns))
        const uses = [
          { covariance: one, share: 0.3 },
          { covariance: other, share: 0.7 },
        ]
        const sum = await addUses(uses, recipe, evaluate)
        const expected = uses.reduce((total, { covariance, share }) => {
          return total + (share * power(errors, covariance)) / uncorrelated(weight, covariance)
        }, 0)
        const norm = weight.reduce((total, value) => total + value ** 2, 0)
        expect(power(errors, sum) / norm).toBeCloseTo(expected, 9)
      }),
      { numRuns: 50 },
    )
  })

  it('counts a use of no power for nothing', async () => {
    const recipe: Recipe = { op: 'constant', values: Array.from({ length: 8 }, () => 1), shape: [2, columns] }
    const evaluate = async (): Promise<Float32Array> => new Float32Array(8).fill(1)
    const silent = { covariance: { diagonal: new Float64Array(columns) }, share: 0.5 }
    const sum = await addUses(
      [silent, { covariance: { diagonal: new Float64Array(columns).fill(3) }, share: 0.5 }],
      recipe,
      evaluate,
    )
    expect(sum).toEqual({ diagonal: new Float64Array(columns).fill(0.5), factors: new Float64Array() })
  })
})

describe('outputPower', () => {
  it.each([
    ['a whole covariance', full],
    ['a low-rank one', lowRank],
  ])('is the mean square of outputs: %s', async (_, covariances) => {
    await fc.assert(
      fc.asyncProperty(matrix(rows * columns), covariances, async (values, covariance) => {
        const weight = values.map(Math.fround)
        const recipe: Recipe = { op: 'constant', values: weight, shape: [rows, columns] }
        const evaluate = async (): Promise<Float32Array> => Float32Array.from(weight)
        const expected = power(weight, covariance)
        expect(await outputPower(recipe, covariance, evaluate)).toBeCloseTo(expected, 6)
        expect(await rowPower(recipe, evaluate)).toBeCloseTo(weight.reduce((sum, x) => sum + x * x, 0) / rows, 9)
      }),
    )
  })
})

describe('covarianceFrom', () => {
  it('splits shares between what reads rows and what reads all that is added to them, as their powers are', async () => {
    const constant = (value: number, count: number): Recipe => ({
      op: 'constant',
      values: Array.from({ length: count * columns }, () => value),
      shape: [count, columns],
    })
    const evaluate = async (recipe: Recipe, start: number, end: number): Promise<Float32Array> =>
      Float32Array.from((recipe.op === 'constant' ? recipe.values : []).slice(start * columns, end * columns))
    const diagonal = (...values: number[]) => ({ kind: 'known', covariance: { diagonal: Float64Array.from(values) } }) as const
    // Rows of power 4; outputs of 3 rows, each of power 4 under a diagonal of ones: a quarter of the sum is the rows'.
    const split = await covarianceFrom(
      {
        kind: 'uses',
        weight: constant(1, 2),
        uses: [
          { source: diagonal(4, 0, 0, 0), share: 0.4, times: 'added' },
          { source: diagonal(0, 4, 0, 0), share: 0.4, times: 'rows' },
          { source: diagonal(0, 0, 4, 0), share: 0.6 },
        ],
        added: { weight: constant(1, 3), input: diagonal(1, 1, 1, 1) },
      },
      evaluate,
    )
    const [first, second, third, fourth] = 'full' in split ? [] : split.diagonal
    expect([first, second, third, fourth].map((value) => (value ?? 0) / 4)).toEqual([
      expect.closeTo(0.3, 12),
      expect.closeTo(0.1, 12),
      expect.closeTo(0.6, 12),
      0,
    ])
  })
})
