import { expect, test } from 'vitest'
import { lowRank } from '../../../bench/low-rank.js'
import { randomSigns } from '../../../formats/imatrix/index.js'
import { nystrom } from '../../../src/covariance/nystrom.js'
import { symmetricEigen } from '../../../src/covariance/symmetric-eigen.js'

/** H = diagonal + sum of decaying directions, and its sketch. */
function covariance(n: number, directions: number, decay: number, noise: number) {
  const h = new Float64Array(n * n)
  for (let k = 0; k < directions; k += 1) {
    for (let i = 0; i < n; i += 1) {
      for (let j = 0; j < n; j += 1) {
        const product = decay ** k * Math.sin((k + 1) * (i + 1)) * Math.sin((k + 1) * (j + 1))
        h[i * n + j] = (h[i * n + j] as number) + product
      }
    }
  }
  for (let i = 0; i < n; i += 1) h[i * n + i] = (h[i * n + i] as number) + noise
  return h
}

function sketchOf(h: Float64Array, n: number, width: number) {
  const signs = randomSigns(1, n, width)
  const sketch = Float64Array.from({ length: n * width }, (_, at) => {
    const [row, column] = [Math.floor(at / width), at % width]
    let sum = 0
    for (let k = 0; k < n; k += 1) sum += (h[row * n + k] as number) * (signs[k * width + column] as number)
    return sum
  })
  return { signs, sketch, diagonal: Float64Array.from({ length: n }, (_, i) => h[i * n + i] as number) }
}

/** Of H, what diagonal and factors leave outside the diagonal: sum of squares over that of H. */
function leftOver(h: Float64Array, n: number, factors: Float64Array): number {
  let [left, all] = [0, 0]
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) {
      if (i === j) continue
      let sum = h[i * n + j] as number
      all += sum ** 2
      for (let at = 0; at < factors.length; at += n) sum -= (factors[at + i] as number) * (factors[at + j] as number)
      left += sum ** 2
    }
  }
  return left / all
}

test('signs are half of each, do not go together, and follow from their place alone', () => {
  const [rows, columns] = [512, 64]
  const signs = randomSigns(7, rows, columns)
  expect(randomSigns(7, 16, columns)).toEqual(signs.subarray(0, 16 * columns))
  expect(randomSigns(8, rows, columns)).not.toEqual(signs)
  for (let a = 0; a < columns; a += 1) {
    for (let b = 0; b <= a; b += 1) {
      let sum = 0
      for (let row = 0; row < rows; row += 1) {
        sum += (signs[row * columns + a] as number) * (b === a ? 1 : (signs[row * columns + b] as number))
      }
      // five standard deviations
      expect(Math.abs(sum)).toBeLessThan(5 * Math.sqrt(rows))
    }
  }
})

test('eigenvalues of a matrix whose own are known', () => {
  // second differences on 12 points: 2 - 2 cos(k pi / 13)
  const n = 12
  const h = Float64Array.from({ length: n * n }, (_, at) => [2, -1][Math.abs(Math.floor(at / n) - (at % n))] ?? 0)
  const { values, vectors } = symmetricEigen(h, n)
  const expected = Array.from({ length: n }, (_, k) => 2 - 2 * Math.cos(((n - k) * Math.PI) / (n + 1)))
  for (const [k, value] of expected.entries()) expect(values[k]).toBeCloseTo(value, 12)
  for (let k = 0; k < n; k += 1) {
    for (let i = 0; i < n; i += 1) {
      let sum = 0
      for (let j = 0; j < n; j += 1) sum += (h[i * n + j] as number) * (vectors[k * n + j] as number)
      expect(sum).toBeCloseTo((values[k] as number) * (vectors[k * n + i] as number), 12)
    }
  }
})

test('of a covariance of few directions a sketch is the whole', () => {
  const n = 96
  const h = covariance(n, 6, 0.7, 0)
  const { signs, sketch, diagonal } = sketchOf(h, n, 16)
  const found = nystrom(sketch, signs, diagonal, 16)
  expect(leftOver(h, n, found.factors)).toBeLessThan(1e-9)
  for (const value of found.diagonal) expect(value).toBeLessThan(1e-4)
})

test('three columns for each direction come near to the true directions', () => {
  const n = 160
  const h = covariance(n, 60, 0.93, 0.4)
  const { signs, sketch, diagonal } = sketchOf(h, n, 48)
  const rank = 16
  const best = leftOver(h, n, lowRank(h, rank).factors)
  const found = nystrom(sketch, signs, diagonal, rank)
  expect(found.factors).toHaveLength(rank * n)
  expect(leftOver(h, n, found.factors)).toBeLessThan(1.25 * best)
  // the trace is kept, whatever the directions
  const trace = found.diagonal.reduce((sum, value) => sum + value, 0) + found.factors.reduce((sum, value) => sum + value ** 2, 0)
  expect(trace).toBeCloseTo(
    diagonal.reduce((sum, value) => sum + value, 0),
    6,
  )
})

test('inputs that were never anything but zero have no directions', () => {
  const found = nystrom(new Float64Array(64 * 8), randomSigns(1, 64, 8), new Float64Array(64), 4)
  expect(found.factors).toHaveLength(0)
  expect(found.diagonal.every((value) => value === 0)).toBe(true)
})
