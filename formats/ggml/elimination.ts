import { doublePlaces, loadKernels } from './load-kernels.js'

/** A symmetric matrix H to be written, and what makes H = M D M^T of it, M unit upper triangular. */
export interface Elimination {
  /** n rows of n, of which the lower half is read. */
  readonly matrix: Float64Array
  /**
   * Eliminates the columns from the last to the first: n^3 / 3 operations. Row j of the lower half becomes column j of M, without its diagonal.
   * @param least of the entries of D. @returns D.
   */
  readonly eliminate: (least: number) => Float64Array
}

/** H = diagonal + V V^T to be written, V of n rows, and what makes M_ij = v_i . g_j of it. */
export interface LowRankElimination {
  /** V, n rows of `depth`. */
  readonly v: Float64Array
  readonly diagonal: Float64Array
  /**
   * Eliminates the columns from the last to the first. What is left of H when those behind j are gone is diagonal + V P V^T, so that
   * D_j = d_j + v_j P v_j and g_j = P v_j / D_j, and P loses (P v_j)(P v_j)^T / D_j with column j: 2 depth^2 operations a column.
   */
  readonly eliminate: () => { readonly g: Float64Array; readonly curvatures: Float64Array }
}

/** Makes room for a matrix, one at a time. */
export interface Eliminations {
  /** @param n a multiple of 4. */
  readonly whole: (n: number) => Elimination
  /** @param depth a multiple of 4. */
  readonly lowRank: (n: number, depth: number) => LowRankElimination
}

/** With the kernels, in a memory of their own: the same bits as `plainEliminations`, several times as fast. */
export async function kernelEliminations(): Promise<Eliminations> {
  const loaded = await loadKernels()
  const { exports: kernels } = loaded
  const whole = kernels['eliminate'] as (matrix: number, n: number, least: number, curvatures: number) => void
  const lowRank = kernels['eliminate_low_rank'] as (
    v: number,
    g: number,
    diagonal: number,
    curvatures: number,
    n: number,
    depth: number,
    work: number,
  ) => void
  return {
    whole(n) {
      const { at, views } = doublePlaces(loaded, [n * n, n])
      const [matrix, curvatures] = views
      return {
        matrix,
        eliminate(least) {
          whole(at[0], n, least, at[1])
          return curvatures
        },
      }
    },
    lowRank(n, depth) {
      const { at, views } = doublePlaces(loaded, [n * depth, n * depth, n, n, depth * depth + depth])
      const [v, g, diagonal, curvatures] = views
      return {
        v: v.fill(0),
        diagonal,
        eliminate() {
          const [vAt, gAt, diagonalAt, curvaturesAt, workAt] = at
          lowRank(vAt, gAt, diagonalAt, curvaturesAt, n, depth, workAt)
          return { g, curvatures }
        },
      }
    },
  }
}

/** Without kernels, one column after the other: what the kernels are held to. */
export const plainEliminations: Eliminations = {
  whole(n) {
    const m = new Float64Array(n * n)
    return {
      matrix: m,
      eliminate(least) {
        const curvatures = new Float64Array(n)
        for (let j = n - 1; j >= 0; j--) {
          const curvature = Math.max(m[j * n + j] as number, least)
          curvatures[j] = curvature
          for (let i = 0; i < j; i++) {
            const share = (m[j * n + i] as number) / curvature
            if (share !== 0)
              for (let l = 0; l <= i; l++) m[i * n + l] = (m[i * n + l] as number) - share * (m[j * n + l] as number)
          }
          for (let i = 0; i < j; i++) m[j * n + i] = (m[j * n + i] as number) / curvature
        }
        return curvatures
      },
    }
  },
  lowRank(n, depth) {
    const [v, diagonal] = [new Float64Array(n * depth), new Float64Array(n)]
    return {
      v,
      diagonal,
      eliminate() {
        const g = new Float64Array(n * depth)
        const curvatures = new Float64Array(n)
        const p = new Float64Array(depth * depth)
        for (let k = 0; k < depth; k++) p[k * depth + k] = 1
        const u = new Float64Array(depth)
        for (let j = n - 1; j >= 0; j--) {
          for (let k = 0; k < depth; k++) u[k] = dot(p, k * depth, v, j * depth, depth)
          const curvature = (diagonal[j] as number) + dot(v, j * depth, u, 0, depth)
          curvatures[j] = curvature
          for (let k = 0; k < depth; k++) {
            const share = (u[k] as number) / curvature
            g[j * depth + k] = share
            for (let l = 0; l < depth; l++) p[k * depth + l] = (p[k * depth + l] as number) - share * (u[l] as number)
          }
        }
        return { g, curvatures }
      },
    }
  },
}

/** Sum of a[i + k] b[j + k], in order. */
export function dot(a: Float64Array, i: number, b: Float64Array, j: number, length: number): number {
  let sum = 0
  for (let k = 0; k < length; k++) sum += (a[i + k] as number) * (b[j + k] as number)
  return sum
}
