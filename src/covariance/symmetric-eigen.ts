/** QL finds an eigenvalue in two or three steps; more than this is a matrix that is not of numbers. */
const maxSteps = 60

/**
 * Eigenvalues and eigenvectors of a symmetric matrix: Householder's reflections make it tridiagonal, QL with implicit shifts diagonal.
 * Source: Martin, Reinsch, Wilkinson 1968; Bowdler, Martin, Reinsch, Wilkinson 1968 (tred2 and tql2 of EISPACK).
 * @param matrix n x n, row-major. @returns values from the greatest to the least; vectors [n][n], one a row.
 * @throws RangeError where it does not converge, as with NaN.
 */
export function symmetricEigen(matrix: Float64Array, n: number): { values: Float64Array; vectors: Float64Array } {
  const { diagonal, beside, vectors } = tridiagonal(Float64Array.from(matrix), n)
  diagonalize(diagonal, beside, vectors, n)
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => (diagonal[j] as number) - (diagonal[i] as number))
  const sorted = new Float64Array(n * n)
  for (const [to, from] of order.entries()) sorted.set(vectors.subarray(from * n, (from + 1) * n), to * n)
  return { values: Float64Array.from(order, (i) => diagonal[i] as number), vectors: sorted }
}

/** A = V^T T V: T by its diagonal and what stands beside it (beside[i] between i and i + 1), V by rows. */
function tridiagonal(a: Float64Array, n: number): { diagonal: Float64Array; beside: Float64Array; vectors: Float64Array } {
  const vectors = new Float64Array(n * n)
  for (let i = 0; i < n; i += 1) vectors[i * n + i] = 1
  const beside = new Float64Array(n)
  const u = new Float64Array(n)
  const p = new Float64Array(n)
  for (let k = 0; k < n - 1; k += 1) {
    let squares = 0
    for (let i = k + 1; i < n; i += 1) {
      u[i] = a[i * n + k] as number
      squares += (u[i] as number) ** 2
    }
    const first = u[k + 1] as number
    const length = first > 0 ? -Math.sqrt(squares) : Math.sqrt(squares)
    beside[k] = length
    const half = squares - first * length
    if (half === 0) continue
    u[k + 1] = first - length
    // A - u q^T - q u^T with p = A u / half, q = p - u (u . p) / (2 half)
    let dot = 0
    for (let i = k + 1; i < n; i += 1) {
      let sum = 0
      for (let j = k + 1; j < n; j += 1) sum += (a[i * n + j] as number) * (u[j] as number)
      p[i] = sum / half
      dot += (p[i] as number) * (u[i] as number)
    }
    for (let i = k + 1; i < n; i += 1) p[i] = (p[i] as number) - (dot / (2 * half)) * (u[i] as number)
    for (let i = k + 1; i < n; i += 1) {
      const [ui, pi] = [u[i] as number, p[i] as number]
      for (let j = k + 1; j < n; j += 1) {
        a[i * n + j] = (a[i * n + j] as number) - ui * (p[j] as number) - pi * (u[j] as number)
      }
    }
    // rows of V are reflected, too: V <- (1 - u u^T / half) V
    p.fill(0)
    for (let i = k + 1; i < n; i += 1) {
      const ui = (u[i] as number) / half
      for (let j = 0; j < n; j += 1) p[j] = (p[j] as number) + ui * (vectors[i * n + j] as number)
    }
    for (let i = k + 1; i < n; i += 1) {
      const ui = u[i] as number
      for (let j = 0; j < n; j += 1) vectors[i * n + j] = (vectors[i * n + j] as number) - ui * (p[j] as number)
    }
  }
  return { diagonal: Float64Array.from({ length: n }, (_, i) => a[i * n + i] as number), beside, vectors }
}

function diagonalize(d: Float64Array, e: Float64Array, vectors: Float64Array, n: number): void {
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
      qlStep(d, e, vectors, n, l, m)
    }
  }
}

/** One implicit QL step on rows l to m. */
function qlStep(d: Float64Array, e: Float64Array, vectors: Float64Array, n: number, l: number, m: number): void {
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
    const [upper, lower] = [i * n, (i + 1) * n]
    for (let k = 0; k < n; k += 1) {
      const x = vectors[lower + k] as number
      const y = vectors[upper + k] as number
      vectors[lower + k] = s * y + c * x
      vectors[upper + k] = c * y - s * x
    }
  }
  d[l] = (d[l] as number) - p
  e[l] = g
  e[m] = 0
}
