import { alignUp } from '../align-up.js'
import { doublePlaces, loadKernels } from './load-kernels.js'

/** Sizes of a product A^T B. */
export interface ProductSizes {
  /** Rows of A and of B. */
  readonly depth: number
  /** Columns of A, rows of the product. */
  readonly rows: number
  /** Columns of B, and of the product. */
  readonly columns: number
  /** Of a symmetric product: only entries on and above the diagonal are computed, the others are undefined. */
  readonly half?: boolean
}

/** T, by its diagonal and what stands beside it (beside[i] between i and i + 1), and V by rows, of A = V^T T V. */
export interface Tridiagonal {
  readonly diagonal: Float64Array
  readonly beside: Float64Array
  readonly vectors: Float64Array
}

/** Dense linear algebra in double precision. Sums go through their terms in order, so that the bits are the same with kernels and without. */
export interface LinearAlgebra {
  /** A^T B. @param a [depth][rows]. @param b [depth][columns]. @returns [rows][columns]. */
  product(a: ArrayLike<number>, b: ArrayLike<number>, sizes: ProductSizes): Float64Array
  /** Makes a symmetric matrix tridiagonal by Householder's reflections (tred2 of EISPACK). @param matrix [n][n]. */
  tridiagonalize(matrix: Float64Array, n: number): Tridiagonal
  /**
   * Turns pairs of rows, one rotation after the other.
   * @param vectors [n][n]. @param rotations three values of each: the upper row i of i and i + 1, the sine, the cosine.
   * @returns the turned rows.
   */
  rotateRows(vectors: Float64Array, n: number, rotations: Float64Array): Float64Array
}

/** Without kernels, one entry after the other: what the kernels are held to. */
export const plainLinearAlgebra: LinearAlgebra = {
  product(a, b, { depth, rows, columns, half = false }) {
    const c = new Float64Array(rows * columns)
    for (let at = 0; at < depth; at += 1) {
      for (let row = 0; row < rows; row += 1) {
        const x = a[at * rows + row] as number
        for (let column = half ? row : 0; column < columns; column += 1) {
          c[row * columns + column] = (c[row * columns + column] as number) + x * (b[at * columns + column] as number)
        }
      }
    }
    return c
  },

  tridiagonalize(matrix, n) {
    const a = Float64Array.from(matrix)
    const vectors = identity(n)
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
  },

  rotateRows(vectors, n, rotations) {
    const turned = Float64Array.from(vectors)
    for (let at = 0; at < rotations.length; at += 3) {
      const [row, s, c] = rotations.subarray(at, at + 3) as unknown as readonly [number, number, number]
      const [upper, lower] = [row * n, (row + 1) * n]
      for (let k = 0; k < n; k += 1) {
        const x = turned[lower + k] as number
        const y = turned[upper + k] as number
        turned[lower + k] = s * y + c * x
        turned[upper + k] = c * y - s * x
      }
    }
    return turned
  },
}

/** Depth that is multiplied at once: it bounds the kernels' memory. */
const depthPerCall = 256

/** With the kernels, in a memory of their own: the same bits as `plainLinearAlgebra`, several times as fast. */
export async function kernelLinearAlgebra(): Promise<LinearAlgebra> {
  const loaded = await loadKernels()
  const [multiply, tridiagonalize, rotate] = ['double_product', 'tridiagonalize', 'rotate_rows'].map(
    (name) => loaded.exports[name],
  ) as [
    (a: number, b: number, c: number, rows: number, columns: number, depth: number, half: number) => void,
    (a: number, vectors: number, diagonal: number, beside: number, n: number, work: number) => void,
    (vectors: number, n: number, rotations: number, count: number) => void,
  ]
  return {
    product(a, b, { depth, rows, columns, half = false }) {
      const [paddedRows, paddedColumns] = [alignUp(rows, 4), alignUp(columns, 4)]
      const most = Math.min(depth, depthPerCall)
      const { at, views } = doublePlaces(loaded, [most * paddedRows, most * paddedColumns, paddedRows * paddedColumns])
      const [aView, bView, product] = views
      product.fill(0)
      for (let first = 0; first < depth; first += most) {
        const count = Math.min(most, depth - first)
        copyRows(a, { first, count, width: rows }, aView, paddedRows)
        copyRows(b, { first, count, width: columns }, bView, paddedColumns)
        multiply(...at, paddedRows, paddedColumns, count, half ? 1 : 0)
      }
      const c = new Float64Array(rows * columns)
      for (let row = 0; row < rows; row += 1) {
        c.set(product.subarray(row * paddedColumns, row * paddedColumns + columns), row * columns)
      }
      return c
    },

    tridiagonalize(matrix, n) {
      const { at, views } = doublePlaces(loaded, [n * n, n * n, n, n, 2 * n])
      const [a, vectors, diagonal, beside] = views
      for (let row = 0; row < n; row += 1)
        for (let column = 0; column < n; column += 1) a[column * n + row] = matrix[row * n + column] as number
      vectors.set(identity(n))
      beside.fill(0)
      const [aAt, vectorsAt, diagonalAt, besideAt, workAt] = at
      tridiagonalize(aAt, vectorsAt, diagonalAt, besideAt, n, workAt)
      return { diagonal: diagonal.slice(), beside: beside.slice(), vectors: vectors.slice() }
    },

    rotateRows(vectors, n, rotations) {
      const { at, views } = doublePlaces(loaded, [n * n, rotations.length])
      const [turned, list] = views
      turned.set(vectors)
      list.set(rotations)
      rotate(at[0], n, at[1], rotations.length / 3)
      return turned.slice()
    },
  }
}

function identity(n: number): Float64Array {
  const matrix = new Float64Array(n * n)
  for (let i = 0; i < n; i += 1) matrix[i * n + i] = 1
  return matrix
}

/** Copies rows of `width` values into rows of `padded`, of which the last are zeros. */
function copyRows(
  values: ArrayLike<number>,
  { first, count, width }: { readonly first: number; readonly count: number; readonly width: number },
  target: Float64Array,
  padded: number,
): void {
  let from = first * width
  for (let row = 0; row < count; row += 1) {
    const to = row * padded
    for (let column = 0; column < width; column += 1, from += 1) target[to + column] = values[from] as number
    target.fill(0, to + width, to + padded)
  }
}
