import { alignUp } from '../align-up.js'
import { loadKernels } from './load-kernels.js'

/** Rows that are multiplied at once. It bounds the kernels' memory and the length of sums in single precision. */
const rowsPerCall = 512

/** Rows of f32 that lie apart: each begins at an index of `values`. */
export interface ScatteredRows {
  readonly values: Float32Array
  readonly starts: ArrayLike<number>
}

/**
 * Sums over rows x of activations, with the kernels of formats/ggml/kernels. Products of up to 512 rows are summed in single precision
 * and added to `sums` one after the other: the same at any number of threads and on any machine. Serves one thread.
 */
export interface Products {
  /**
   * Adds the sum of x x^T.
   * @param columns of a row, a multiple of 8. @param sums upper triangle, row by row: columns * (columns + 1) / 2 values.
   */
  addSquare(rows: ScatteredRows, columns: number, sums: Float32Array): void
  /**
   * Adds the sum of x (x^T W).
   * @param matrix W, [columns][width], row-major; width is a multiple of 8. @param sums [columns][width].
   */
  addSketch(rows: ScatteredRows, columns: number, matrix: Float32Array, sums: Float32Array): void
}

type Pack = (b: number, stride: number, target: number, columns: number, depth: number) => void
/** Products of rows by a packed matrix: `product` of the kernels. */
export type ProductKernel = (
  a: number,
  depthStride: number,
  rowStride: number,
  packed: number,
  c: number,
  rows: number,
  columns: number,
  depth: number,
  upper: number,
  work: number,
) => void

/** Loads the kernels into a memory of their own. */
export async function openProducts(): Promise<Products> {
  const { exports: kernels, memory, heapBase, reserve: reserveTo } = await loadKernels()
  const pack = kernels['product_pack'] as Pack
  const multiply = kernels['product'] as ProductKernel

  /** Places of so many values each, one after the other. */
  const reserve = (...lengths: number[]): number[] => {
    let end = heapBase
    const places = lengths.map((length) => {
      const start = end
      end = alignUp(end + 4 * length, 64)
      return start
    })
    reserveTo(end)
    return places
  }
  const floats = (at: number, length: number): Float32Array => new Float32Array(memory.buffer, at, length)
  const load = ({ values, starts }: ScatteredRows, columns: number, first: number, count: number, at: number): void => {
    const target = floats(at, count * columns)
    for (let row = 0; row < count; row += 1) {
      const start = starts[first + row] as number
      target.set(values.subarray(start, start + columns), row * columns)
    }
  }

  return {
    addSquare(rows, columns, sums) {
      const most = Math.min(rowsPerCall, rows.starts.length)
      const [x, packed, work, c] = reserve(most * columns, most * columns, 4 * most, columns * columns) as Places
      for (let first = 0; first < rows.starts.length; first += rowsPerCall) {
        const count = Math.min(rowsPerCall, rows.starts.length - first)
        load(rows, columns, first, count, x)
        pack(x, 4 * columns, packed, columns, count)
        multiply(x, 4 * columns, 4, packed, c, columns, columns, count, 1, work)
        const product = floats(c, columns * columns)
        let at = 0
        for (let row = 0; row < columns; row += 1) {
          for (let column = row; column < columns; column += 1) {
            sums[at] = (sums[at] as number) + (product[row * columns + column] as number)
            at += 1
          }
        }
      }
    },

    addSketch(rows, columns, matrix, sums) {
      const width = matrix.length / columns
      // four rows at a time: what is left over is zeros
      const most = alignUp(Math.min(rowsPerCall, rows.starts.length), 4)
      const lengths = [most * columns, columns * width, most * width, most * width, columns * width]
      const [x, packed, y, packedY, c, work] = reserve(...lengths, 4 * Math.max(columns, most)) as [...Places, number, number]
      floats(c, columns * width).set(matrix)
      pack(c, 4 * width, packed, width, columns)
      for (let first = 0; first < rows.starts.length; first += rowsPerCall) {
        const count = Math.min(rowsPerCall, rows.starts.length - first)
        const padded = alignUp(count, 4)
        load(rows, columns, first, count, x)
        floats(x + 4 * count * columns, (padded - count) * columns).fill(0)
        multiply(x, 4, 4 * columns, packed, y, padded, width, columns, 0, work)
        pack(y, 4 * width, packedY, width, padded)
        multiply(x, 4 * columns, 4, packedY, c, columns, width, padded, 0, work)
        const product = floats(c, columns * width)
        for (let at = 0; at < product.length; at += 1) sums[at] = (sums[at] as number) + (product[at] as number)
      }
    },
  }
}

type Places = [number, number, number, number]
