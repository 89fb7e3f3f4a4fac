// The tables of the feedback kernels (their layout stands in kernels/feedback.ts): H = M D M^T, M unit upper triangular in the order of
// processing, found by eliminating the last column, then the one before it, and so on.

import { dot, type Eliminations } from './elimination.js'
import type { FeedbackLayout } from './feedback-forms.js'

/** The columns in the order of processing: groups, eights in them where those are chosen together, and columns, the strongest first. */
export function processingOrder(importance: Float64Array, layout: FeedbackLayout): Uint32Array {
  const strength = (columns: readonly number[]): number =>
    columns.reduce((sum, column) => sum + (importance[column] as number), 0) / columns.length
  const sorted = (columns: readonly number[], sizes: readonly number[]): readonly number[] => {
    const [size = columns.length, ...smaller] = sizes
    const parts = Array.from({ length: columns.length / size }, (_, i) => columns.slice(i * size, (i + 1) * size))
    const order = parts.toSorted((a, b) => strength(b) - strength(a))
    return smaller.length === 0 ? order.flat() : order.flatMap((part) => sorted(part, smaller))
  }
  const sizes = { '16x1': [16, 1], '32x1': [32, 1], '16x8': [16, 8, 1], '32x8': [32, 8, 1] }
  return Uint32Array.from(sorted([...importance.keys()], sizes[layout]))
}

/** H = diag(diagonal + added) + V^T V: 2 k^2 operations a column. */
export function lowRankTable(
  diagonal: Float64Array,
  added: number,
  factors: Float32Array | Float64Array,
  order: Uint32Array,
  size: number,
  { lowRank }: Eliminations,
): Uint8Array {
  const n = order.length
  const rank = factors.length / n
  const depth = Math.max(4, 4 * Math.ceil(rank / 4))
  const { v, diagonal: damped, eliminate } = lowRank(n, depth)
  for (const [j, column] of order.entries()) {
    damped[j] = (diagonal[column] as number) + added
    for (let k = 0; k < rank; k++) v[j * depth + k] = factors[k * n + column] as number
  }
  const { g, curvatures } = eliminate()

  const scales = Float64Array.from({ length: depth }, (_, k) => componentScale(v, n, depth, k))
  const table = tableWriter(n * (3 + depth + size))
  const [shares, components] = [new Float64Array(size * depth), new Float64Array(depth * size)]
  for (let from = 0; from < n; from += size) {
    for (let j = 0; j < size; j++) {
      const row = (from + j) * depth
      for (let k = 0; k < depth; k++) {
        shares[j * depth + k] = 1024 * (scales[k] as number) * (g[row + k] as number)
        components[k * size + j] = (v[row + k] as number) / (scales[k] as number)
      }
    }
    table.columns(order.subarray(from, from + size))
    table.panelWithUnits(size, depth, 32768, shares, depth)
    table.square(size, (i, j) => dot(v, (from + i) * depth, g, (from + j) * depth, depth))
    table.values(curvatures.subarray(from, from + size).map((value) => value / added))
    table.panel(depth, size, components, size)
  }
  return table.bytes
}

/** H = full + added on the diagonal, kept whole: n^3 / 3 operations. */
export function exactTable(
  full: Float64Array,
  added: number,
  order: Uint32Array,
  size: number,
  { whole }: Eliminations,
): Uint8Array {
  const n = order.length
  const { matrix: m, eliminate } = whole(n)
  for (let i = 0; i < n; i++) {
    const from = (order[i] as number) * n
    for (let j = 0; j <= i; j++) m[i * n + j] = full[from + (order[j] as number)] as number
    m[i * n + i] = (m[i * n + i] as number) + added
  }
  // D is never below what the damping alone leaves: only rounding could bring it there.
  const curvatures = eliminate(added)

  const table = tableWriter(n * (3 + size) + (n * (n - size)) / 4)
  for (let from = 0; from < n; from += size) {
    table.columns(order.subarray(from, from + size))
    table.panelWithUnits(size, from, greatestError, m.subarray(from * n), n)
    table.square(size, (i, j) => m[(from + j) * n + from + i] as number)
    table.values(curvatures.subarray(from, from + size).map((value) => value / added))
  }
  return table.bytes
}

/** Ulps that an error has at most, see kernels/feedback.ts. */
const greatestError = 4095

/**
 * What 1 stands for in the 16 bits of a component's factors. 32 products with errors stay below 2^31; and as errors are half a step (256
 * ulps) at most, but where a code is cut off, what they sum up to by chance stays far from the ends of the state's 16 bits.
 */
function componentScale(v: Float64Array, n: number, depth: number, k: number): number {
  let greatest = 0
  let squares = 0
  for (let j = 0; j < n; j++) {
    const value = Math.abs(v[j * depth + k] as number)
    greatest = Math.max(greatest, value)
    squares += value ** 2
  }
  return Math.max(greatest / 16383, Math.sqrt(squares) / 32768) || 1
}

function tableWriter(words: number) {
  const bytes = new Uint8Array(4 * words)
  const floats = new Float32Array(bytes.buffer)
  const integers = new Uint32Array(bytes.buffer)
  const halves = new Int16Array(bytes.buffer)
  let at = 0
  /**
   * Writes [rows / 4][columns / 2][4][2] of 16 bits.
   * @param values rows of `stride`. @param units each row is divided by one; by default by none.
   */
  const panel = (rows: number, columns: number, values: Float64Array, stride: number, units?: Float64Array): void => {
    let half = 2 * at
    for (let row = 0; row < rows; row += 4) {
      for (let column = 0; column < columns; column += 2) {
        for (let lane = row; lane < row + 4; lane++) {
          const from = lane * stride + column
          const unit = units === undefined ? 1 : (units[lane] as number)
          halves[half] = Math.round((values[from] as number) / unit)
          halves[half + 1] = Math.round((values[from + 1] as number) / unit)
          half += 2
        }
      }
    }
    at = half / 2
  }
  return {
    bytes,
    columns(order: Uint32Array): void {
      integers.set(order, at)
      at += order.length
    },
    values(values: Float64Array): void {
      floats.set(values, at)
      at += values.length
    },
    panel,
    /**
     * A panel whose rows are scaled, each by a unit that is written before it, so that the sum of their products with numbers up to
     * `bound` stays below 2^31.
     * @param values rows of `stride`, of which the first `columns` values count.
     */
    panelWithUnits(rows: number, columns: number, bound: number, values: Float64Array, stride: number): void {
      const units = new Float64Array(rows)
      for (let row = 0; row < rows; row++) {
        let greatest = 0
        let sum = 0
        for (let from = row * stride; from < row * stride + columns; from++) {
          const magnitude = Math.abs(values[from] as number)
          greatest = Math.max(greatest, magnitude)
          sum += magnitude
        }
        units[row] = Math.fround(Math.max(greatest / 32767, sum / ((2 ** 31 - 1) / bound - columns))) || 1
      }
      floats.set(units, at)
      at += rows
      panel(rows, columns, values, stride, units)
    },
    /** M of a group: at n * j + i that of i < j. */
    square(n: number, value: (i: number, j: number) => number): void {
      for (let j = 0; j < n; j++) for (let i = 0; i < n; i++) floats[at++] = i < j ? value(i, j) : 0
    },
  }
}
