import { multiply } from './matrix.js'

/**
 * The covariance H, n x n, as diagonal + factors^T factors: the subspace of its k greatest eigenvalues by orthogonal iteration, and the
 * diagonal of what lies outside it. k is a multiple of 4.
 */
export function lowRank(h: Float64Array, k: number): { diagonal: Float64Array; factors: Float64Array } {
  const n = Math.sqrt(h.length)
  const diagonal = Float64Array.from({ length: n }, (_, i) => h[i * n + i] as number)
  if (k === 0) return { diagonal, factors: new Float64Array() }
  let basis: Float64Array = Float64Array.from({ length: k * n }, (_, i) => Math.sin(1 + i * i))
  for (let round = 0; round < 15; round++) {
    orthogonalize(basis, k, n)
    basis = multiply(basis, h, k, n, n)
  }
  orthogonalize(basis, k, n)
  // Within the subspace H is B H B^T = L L^T, so that the factors are L^T B.
  const inside = multiply(multiply(basis, h, k, n, n), basis, k, k, n)
  const factors = new Float64Array(k * n)
  for (let j = 0; j < k; j++) {
    const pivot = Math.sqrt(Math.max(inside[j * k + j] as number, 0))
    for (let i = j; i < k; i++) {
      const l = pivot === 0 ? 0 : (inside[i * k + j] as number) / pivot
      for (let m = j + 1; m <= i; m++) {
        const other = pivot === 0 ? 0 : (inside[m * k + j] as number) / pivot
        inside[i * k + m] = (inside[i * k + m] as number) - l * other
      }
      for (let x = 0; x < n; x++) factors[j * n + x] = (factors[j * n + x] as number) + l * (basis[i * n + x] as number)
    }
  }
  for (let i = 0; i < factors.length; i++) diagonal[i % n] = (diagonal[i % n] as number) - (factors[i] as number) ** 2
  return { diagonal: diagonal.map((x) => Math.max(x, 0)), factors }
}

/** Gram and Schmidt, on the rows. */
function orthogonalize(rows: Float64Array, count: number, n: number): void {
  const dot = (i: number, j: number): number => {
    let sum = 0
    for (let x = 0; x < n; x++) sum += (rows[i * n + x] as number) * (rows[j * n + x] as number)
    return sum
  }
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < i; j++) {
      const share = dot(i, j)
      for (let x = 0; x < n; x++) rows[i * n + x] = (rows[i * n + x] as number) - share * (rows[j * n + x] as number)
    }
    const length = Math.sqrt(dot(i, i))
    for (let x = 0; x < n; x++) rows[i * n + x] = (rows[i * n + x] as number) / length
  }
}
