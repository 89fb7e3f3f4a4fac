import { multiply } from '../../bench/matrix.js'
import type { Codec } from '../../formats/ggml/codec.js'
import { type GgmlTypeName, ggmlType } from '../../formats/ggml/types.js'

/** Types of which the reference knows where the codes lie: values of every byte for all codes 0, and for all codes 1; bounds. */
const forms = {
  Q2_K: { bounds: [0, 3], zero: [[16, 80, 0]], one: [[16, 80, 0x55]] },
  Q3_K: {
    bounds: [-4, 3],
    zero: [
      [0, 32, 255],
      [32, 96, 0],
    ],
    one: [
      [0, 32, 255],
      [32, 96, 0x55],
    ],
  },
  Q4_K: { bounds: [0, 15], zero: [[16, 144, 0]], one: [[16, 144, 0x11]] },
  Q5_K: {
    bounds: [0, 31],
    zero: [[16, 176, 0]],
    one: [
      [16, 48, 0],
      [48, 176, 0x11],
    ],
  },
  Q6_K: {
    bounds: [-32, 31],
    zero: [
      [0, 128, 0],
      [128, 192, 0xaa],
    ],
    one: [
      [0, 128, 0x11],
      [128, 192, 0xaa],
    ],
  },
  Q4_0: { bounds: [-8, 7], zero: [[2, 18, 0x88]], one: [[2, 18, 0x99]] },
  Q4_1: { bounds: [0, 15], zero: [[4, 20, 0]], one: [[4, 20, 0x11]] },
  Q5_0: {
    bounds: [-16, 15],
    zero: [
      [2, 6, 255],
      [6, 22, 0],
    ],
    one: [
      [2, 6, 255],
      [6, 22, 0x11],
    ],
  },
  Q5_1: {
    bounds: [0, 31],
    zero: [[4, 24, 0]],
    one: [
      [4, 8, 0],
      [8, 24, 0x11],
    ],
  },
  Q8_0: { bounds: [-128, 127], zero: [[2, 34, 0]], one: [[2, 34, 1]] },
} as const satisfies Partial<Record<GgmlTypeName, unknown>>

export type ReferenceType = keyof typeof forms
export const referenceTypes = Object.keys(forms) as ReferenceType[]

/**
 * GPTQ as its paper has it, in f64: with U the upper Cholesky factor of the inverse of H, e_i = (w_i - stored_i) / U_ii is taken from all
 * columns j > i as e_i U_ij. Scales are those of `blocks`.
 * @param u, order see `upperFactorOfInverse`.
 * @returns what is stored.
 */
export function gptq(
  codec: Codec,
  type: ReferenceType,
  rows: Float32Array,
  blocks: Uint8Array,
  u: Float64Array,
  order: ArrayLike<number>,
): Float32Array {
  const n = order.length
  const { bounds, zero, one } = forms[type]
  const filled = (pattern: readonly (readonly number[])[]): Float32Array => {
    const bytes = blocks.slice()
    for (let at = 0; at < bytes.length; at += ggmlType(type).blockBytes) {
      for (const [from = 0, to = 0, value = 0] of pattern) bytes.fill(value, at + from, at + to)
    }
    return codec.dequantize(type, bytes, rows.length)
  }
  const offsets = filled(zero)
  const scales = filled(one).map((value, i) => value - at(offsets, i))
  const stored = new Float32Array(rows.length)
  for (let row = 0; row < rows.length; row += n) {
    const w = Float64Array.from({ length: n }, (_, i) => at(rows, row + at(order, i)))
    for (let i = 0; i < n; i++) {
      const place = row + at(order, i)
      const scale = at(scales, place)
      const wanted = scale === 0 ? 0 : Math.round((at(w, i) - at(offsets, place)) / scale)
      const value = at(offsets, place) + scale * Math.min(Math.max(wanted, bounds[0]), bounds[1])
      stored[place] = value
      const error = (at(w, i) - value) / at(u, i * n + i)
      for (let j = i + 1; j < n; j++) w[j] = (w[j] as number) - error * (u[i * n + j] as number)
    }
  }
  return stored
}

/** tr(E H E^T): the mean square error of a layer's output, summed over its rows. */
export function outputError(rows: Float32Array, stored: Float32Array, h: Float64Array): number {
  const n = Math.sqrt(h.length)
  // Four rows at a time go through H, so the last ones get company of zeros.
  const count = 4 * Math.ceil(rows.length / n / 4)
  const errors = new Float64Array(count * n)
  for (let i = 0; i < rows.length; i++) errors[i] = at(rows, i) - at(stored, i)
  const products = multiply(errors, h, count, n, n)
  return products.reduce((total, product, i) => total + product * at(errors, i), 0)
}

/**
 * U, upper triangular, with inverse(H) = U^T U, by Gauss, Jordan and Cholesky.
 * @param order H's columns in the order of processing, which is that of U.
 */
export function upperFactorOfInverse(h: Float64Array, order: ArrayLike<number>): Float64Array {
  const n = order.length
  const inverse = new Float64Array(n * n)
  for (let i = 0; i < n; i++) inverse[i * n + i] = 1
  const left = Float64Array.from({ length: n * n }, (_, i) => at(h, at(order, Math.floor(i / n)) * n + at(order, i % n)))
  for (let p = 0; p < n; p++) {
    const pivot = at(left, p * n + p)
    for (let j = 0; j < n; j++) {
      left[p * n + j] = at(left, p * n + j) / pivot
      inverse[p * n + j] = at(inverse, p * n + j) / pivot
    }
    for (let i = 0; i < n; i++) {
      const factor = at(left, i * n + p)
      if (i === p || factor === 0) continue
      for (let j = 0; j < n; j++) {
        left[i * n + j] = (left[i * n + j] as number) - factor * (left[p * n + j] as number)
        inverse[i * n + j] = (inverse[i * n + j] as number) - factor * (inverse[p * n + j] as number)
      }
    }
  }
  const u = new Float64Array(n * n)
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) {
      let sum = at(inverse, i * n + j)
      for (let k = 0; k < i; k++) sum -= (u[k * n + i] as number) * (u[k * n + j] as number)
      u[i * n + j] = i === j ? Math.sqrt(sum) : sum / at(u, i * n + i)
    }
  }
  return u
}

function at(values: ArrayLike<number>, index: number): number {
  return values[index] ?? Number.NaN
}
