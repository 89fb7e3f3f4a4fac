import { expect, test } from 'vitest'
import { gaussian } from '../../../bench/random.js'
import { kernelEliminations, plainEliminations } from '../../../formats/ggml/elimination.js'

/** V^T V + 0.1 on the diagonal; some columns of V are zeros, as those of a widened model are. */
function covariance(n: number): Float64Array {
  const rank = 12
  const v = gaussian(rank * n, n).map((value, at) => ((at % n) % 8 === 7 || at % n < 4 ? 0 : value))
  return Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n]
    let sum = i === j ? 0.1 : 0
    for (let k = 0; k < rank; k++) sum += (v[k * n + i] as number) * (v[k * n + j] as number)
    return sum
  })
}

test('the kernel has the bits of one column after the other, also in memory that was used', async () => {
  const kernel = await kernelEliminations()
  for (const n of [96, 32, 160]) {
    const full = covariance(n)
    const results = [plainEliminations.whole(n), kernel.whole(n)].map(({ matrix, eliminate }) => {
      for (let i = 0; i < n; i++) matrix.set(full.subarray(i * n, i * n + i + 1), i * n)
      const curvatures = eliminate(0.1)
      const lower = Array.from({ length: n }, (_, i) => Float64Array.from(matrix.subarray(i * n, i * n + i)))
      return { curvatures: Float64Array.from(curvatures), lower }
    })
    expect(results[1]).toStrictEqual(results[0])
  }
})

test('the kernel of a diagonal and factors has the bits of one column after the other, also in memory that was used', async () => {
  const kernel = await kernelEliminations()
  for (const [n, depth] of [
    [96, 12],
    [64, 4],
    [160, 20],
  ] as const) {
    const factors = gaussian(n * depth, n).map((value, at) => (at % depth === depth - 1 ? 0 : value))
    const own = gaussian(n, depth).map((value) => 0.1 + value ** 2)
    const results = [plainEliminations.lowRank(n, depth), kernel.lowRank(n, depth)].map(({ v, diagonal, eliminate }) => {
      v.set(factors)
      diagonal.set(own)
      const { g, curvatures } = eliminate()
      return { g: Float64Array.from(g), curvatures: Float64Array.from(curvatures) }
    })
    expect(results[1]).toStrictEqual(results[0])
  }
})

test('H = M D M^T', async () => {
  const n = 64
  const full = covariance(n)
  const { matrix, eliminate } = (await kernelEliminations()).whole(n)
  matrix.set(full)
  const d = eliminate(1e-9)
  // column j of M is row j of the lower half
  const m = (i: number, j: number): number => (i === j ? 1 : i < j ? (matrix[j * n + i] as number) : 0)
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0
      for (let k = 0; k < n; k++) sum += m(i, k) * (d[k] as number) * m(j, k)
      expect(sum).toBeCloseTo(full[i * n + j] as number, 9)
    }
  }
})
