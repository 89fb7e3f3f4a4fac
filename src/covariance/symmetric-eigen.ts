import { type LinearAlgebra, plainLinearAlgebra } from '../../formats/ggml/linear-algebra.js'

/** QL finds an eigenvalue in two or three steps; more than this is a matrix that is not of numbers. */
const maxSteps = 60

/**
 * Eigenvalues and eigenvectors of a symmetric matrix: Householder's reflections make it tridiagonal, QL with implicit shifts diagonal.
 * Source: Martin, Reinsch, Wilkinson 1968; Bowdler, Martin, Reinsch, Wilkinson 1968 (tred2 and tql2 of EISPACK).
 * @param matrix n x n, row-major. @param algebra by default without kernels, which takes longer.
 * @returns values from the greatest to the least; vectors [n][n], one a row.
 * @throws RangeError where it does not converge, as with NaN.
 */
export function symmetricEigen(
  matrix: Float64Array,
  n: number,
  algebra: Pick<LinearAlgebra, 'tridiagonalize' | 'rotateRows'> = plainLinearAlgebra,
): { values: Float64Array; vectors: Float64Array } {
  const { diagonal, beside, vectors: reflected } = algebra.tridiagonalize(matrix, n)
  const vectors = algebra.rotateRows(reflected, n, diagonalize(diagonal, beside, n))
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => (diagonal[j] as number) - (diagonal[i] as number))
  const sorted = new Float64Array(n * n)
  for (const [to, from] of order.entries()) sorted.set(vectors.subarray(from * n, (from + 1) * n), to * n)
  return { values: Float64Array.from(order, (i) => diagonal[i] as number), vectors: sorted }
}

/** Makes the diagonal of a tridiagonal matrix its eigenvalues. @returns the rotations of the rows of V: see LinearAlgebra.rotateRows. */
function diagonalize(d: Float64Array, e: Float64Array, n: number): Float64Array {
  const rotations: number[] = []
  // Against the largest, and not the neighbours: of a matrix of low rank most are rounding, which never gets small beside itself.
  let largest = 0
  for (let i = 0; i < n; i += 1) largest = Math.max(largest, Math.abs(d[i] as number) + Math.abs(e[i] as number))
  const nothing = Number.EPSILON * largest
  for (let l = 0; l < n; l += 1) {
    for (let step = 0; ; step += 1) {
      let m = l
      while (m < n - 1 && Math.abs(e[m] as number) > nothing) m += 1
      if (m === l) break
      if (step === maxSteps) throw new RangeError('a matrix without eigenvalues')
      qlStep(d, e, l, m, rotations)
    }
  }
  return Float64Array.from(rotations)
}

/** One implicit QL step on rows l to m. */
function qlStep(d: Float64Array, e: Float64Array, l: number, m: number, rotations: number[]): void {
  const [dl, el] = [d[l] as number, e[l] as number]
  let g = ((d[l + 1] as number) - dl) / (2 * el)
  const r0 = Math.hypot(g, 1)
  g = (d[m] as number) - dl + el / (g + (g >= 0 ? r0 : -r0))
  let [s, c, p] = [1, 1, 0]
  for (let i = m - 1; i >= l; i -= 1) {
    const f = s * (e[i] as number)
    const b = c * (e[i] as number)
    const r = Math.hypot(f, g)
    e[i + 1] = r
    if (r === 0) {
      d[i + 1] = (d[i + 1] as number) - p
      e[m] = 0
      return
    }
    s = f / r
    c = g / r
    g = (d[i + 1] as number) - p
    const t = ((d[i] as number) - g) * s + 2 * c * b
    p = s * t
    d[i + 1] = g + p
    g = c * t - b
    rotations.push(i, s, c)
  }
  d[l] = (d[l] as number) - p
  e[l] = g
  e[m] = 0
}
