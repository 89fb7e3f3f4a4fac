import { expect, test } from 'vitest'
import { gaussian } from '../../../bench/random.js'
import { kernelLinearAlgebra, plainLinearAlgebra } from '../../../formats/ggml/linear-algebra.js'
import { symmetricEigen } from '../../../src/covariance/symmetric-eigen.js'

/** Each result of the kernels, in memory that earlier ones used, with that without. */
const kernels = await kernelLinearAlgebra()

function doubles(length: number, seed: number): Float64Array {
  return Float64Array.from(gaussian(length, seed))
}

/** V^T V, of a rank that may be lower than n. */
function symmetric(n: number, rank: number): Float64Array {
  const v = doubles(rank * n, n)
  return plainLinearAlgebra.product(v, v, { depth: rank, rows: n, columns: n })
}

test.each([
  { depth: 700, rows: 24, columns: 40 },
  { depth: 3, rows: 5, columns: 7 },
  { depth: 1, rows: 1, columns: 1 },
  { depth: 257, rows: 6, columns: 9 },
  { depth: 0, rows: 0, columns: 4 },
])('a product has the bits of one entry after the other: %j', (sizes) => {
  const [a, b] = [doubles(sizes.depth * sizes.rows, 1), doubles(sizes.depth * sizes.columns, 2)]
  expect(kernels.product(a, b, sizes)).toStrictEqual(plainLinearAlgebra.product(a, b, sizes))
  const signs = gaussian(sizes.depth * sizes.rows, 3).map(Math.sign)
  expect(kernels.product(signs, b, sizes)).toStrictEqual(plainLinearAlgebra.product(signs, b, sizes))
})

test('half of a symmetric product is right on and above the diagonal', () => {
  const sizes = { depth: 300, rows: 13, columns: 13, half: true }
  const a = doubles(300 * 13, 4)
  const [found, all] = [kernels.product(a, a, sizes), plainLinearAlgebra.product(a, a, { ...sizes, half: false })]
  for (let row = 0; row < 13; row += 1) {
    expect(found.subarray(row * 13 + row, (row + 1) * 13)).toStrictEqual(all.subarray(row * 13 + row, (row + 1) * 13))
  }
})

test.each([
  [1, 1],
  [2, 2],
  [33, 33],
  [64, 20],
  [5, 0],
])('eigenvalues of %i columns, rank %i, have the bits of plain loops', (n, rank) => {
  const matrix = rank === 0 ? new Float64Array(n * n) : symmetric(n, rank)
  expect(kernels.tridiagonalize(matrix, n)).toStrictEqual(plainLinearAlgebra.tridiagonalize(matrix, n))
  expect(symmetricEigen(matrix, n, kernels)).toStrictEqual(symmetricEigen(matrix, n, plainLinearAlgebra))
})
