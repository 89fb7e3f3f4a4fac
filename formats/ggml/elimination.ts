import { loadKernels } from './load-kernels.js'

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

/** Makes room for a matrix of n rows, n a multiple of 4. One at a time. */
export type OpenElimination = (n: number) => Elimination

/** With the kernel, in a memory of its own: the same bits as `plainElimination`, ten times as fast. */
export async function kernelElimination(): Promise<OpenElimination> {
  const { exports: kernels, memory, heapBase, reserve } = await loadKernels()
  const run = kernels['eliminate'] as (matrix: number, n: number, least: number, curvatures: number) => void
  return (n) => {
    const curvaturesAt = heapBase + 8 * n * n
    reserve(curvaturesAt + 8 * n)
    return {
      matrix: new Float64Array(memory.buffer, heapBase, n * n),
      eliminate(least) {
        run(heapBase, n, least, curvaturesAt)
        return new Float64Array(memory.buffer, curvaturesAt, n)
      },
    }
  }
}

/** Without kernels, one column after the other: what the kernel is held to. */
export const plainElimination: OpenElimination = (n) => {
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
          if (share !== 0) for (let l = 0; l <= i; l++) m[i * n + l] = (m[i * n + l] as number) - share * (m[j * n + l] as number)
        }
        for (let i = 0; i < j; i++) m[j * n + i] = (m[j * n + i] as number) / curvature
      }
      return curvatures
    },
  }
}
