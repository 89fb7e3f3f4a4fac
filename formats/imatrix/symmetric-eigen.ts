/** Rounds over all pairs; a dozen bring any matrix of this size to rounding. */
const maxSweeps = 30

/**
 * Eigenvalues and eigenvectors of a symmetric matrix, by Jacobi's rotations in cyclic order.
 * @param matrix n x n, row-major. @returns values from the greatest to the least; vectors [n][n], one a row.
 */
export function symmetricEigen(matrix: Float64Array, n: number): { values: Float64Array; vectors: Float64Array } {
  const a = Float64Array.from(matrix)
  const v = new Float64Array(n * n)
  for (let i = 0; i < n; i += 1) v[i * n + i] = 1
  const scale = a.reduce((sum, value) => sum + value * value, 0)
  for (let sweep = 0; sweep < maxSweeps; sweep += 1) {
    let outside = 0
    for (let i = 0; i < n; i += 1) for (let j = 0; j < i; j += 1) outside += (a[i * n + j] as number) ** 2
    if (outside <= 1e-26 * scale) break
    for (let p = 0; p < n - 1; p += 1) for (let q = p + 1; q < n; q += 1) rotate(a, v, n, p, q)
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => (a[j * n + j] as number) - (a[i * n + i] as number))
  const vectors = new Float64Array(n * n)
  for (const [to, from] of order.entries()) vectors.set(v.subarray(from * n, (from + 1) * n), to * n)
  return { values: Float64Array.from(order, (i) => a[i * n + i] as number), vectors }
}

/** Brings a[p][q] to zero. Both triangles are kept, so that rows p and q alone are read. */
function rotate(a: Float64Array, v: Float64Array, n: number, p: number, q: number): void {
  const [rowP, rowQ] = [p * n, q * n]
  const apq = a[rowP + q] as number
  if (apq === 0) return
  const [app, aqq] = [a[rowP + p] as number, a[rowQ + q] as number]
  const theta = (aqq - app) / (2 * apq)
  const t = Math.sign(theta || 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1))
  const c = 1 / Math.sqrt(t * t + 1)
  const s = t * c
  for (let k = 0; k < n; k += 1) {
    const x = a[rowP + k] as number
    const y = a[rowQ + k] as number
    const newX = c * x - s * y
    const newY = s * x + c * y
    a[rowP + k] = newX
    a[rowQ + k] = newY
    a[k * n + p] = newX
    a[k * n + q] = newY
    const vx = v[rowP + k] as number
    const vy = v[rowQ + k] as number
    v[rowP + k] = c * vx - s * vy
    v[rowQ + k] = s * vx + c * vy
  }
  a[rowP + p] = app - t * apq
  a[rowQ + q] = aqq + t * apq
  a[rowP + q] = 0
  a[rowQ + p] = 0
}
