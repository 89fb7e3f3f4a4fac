import type { Effort } from './codec.js'
import { exactTable, lowRankTable } from './feedback-tables.js'
import type { GgmlTypeName } from './types.js'

/** How the inputs of a weight go together: H, the mean of x x^T over the inputs x that it sees, or what is known of it. */
export type Covariance =
  | {
      /** H = diagonal + factors^T factors: n values, and k rows of n. Without factors only the diagonal is known. */
      readonly diagonal: Float32Array | Float64Array
      readonly factors?: Float32Array | Float64Array
    }
  | {
      /** H itself, n x n, row-major and symmetric. */
      readonly full: Float64Array
    }

/** A covariance made ready for the kernels. It serves every weight with the same input, on any thread: it is data. */
export interface FeedbackFactor {
  /** Columns, n. */
  readonly columns: number
  /** Diagonal of H as it was given: the importance of the columns. */
  readonly importance: Float32Array
  /** Depth of the kernels' state: the rank, rounded up to a multiple of 4; 0 where H is kept whole. */
  readonly depth: number
  /** The kernels' tables, for types whose scales serve 16 columns, and 32. */
  readonly tables: Readonly<Record<16 | 32, Uint8Array>>
}

/**
 * Factorises the damped covariance of a weight's inputs, once for all weights that share them.
 *
 * Groups of columns (those of one scale) are processed from the greatest mean diagonal to the least, and so are the columns within a
 * group: what the strong columns lose is then made up for by many others.
 * @param damping added to every entry of the diagonal, in units of its mean; 0.2 to 0.5 carries over to other text, 0.01 fits this.
 * @returns about n * (2 k + 32) values for each of the two tables; n^2 / 2 where H is whole. n is a multiple of 16.
 * @throws RangeError where the sizes do not agree or the diagonal is not of finite values >= 0.
 */
export function prepareFeedback(covariance: Covariance, damping: number): FeedbackFactor {
  if (!(damping > 0 && damping < Infinity)) throw new RangeError(`a damping of ${damping}`)
  const whole = 'full' in covariance
  const columns = whole ? Math.round(Math.sqrt(covariance.full.length)) : covariance.diagonal.length
  const factors = whole ? new Float64Array() : (covariance.factors ?? new Float64Array())
  if (whole && columns ** 2 !== covariance.full.length) throw new RangeError(`${covariance.full.length} values are not square`)
  if (factors.length % columns !== 0) throw new RangeError(`${factors.length} values are not rows of ${columns}`)
  const diagonal = Float64Array.from({ length: columns }, (_, i) =>
    whole ? (covariance.full[i * columns + i] as number) : (covariance.diagonal[i] as number),
  )
  if (!diagonal.every((value) => value >= 0 && value < Infinity))
    throw new RangeError('a diagonal with values that are no variances')
  const importance = Float64Array.from(diagonal)
  for (let i = 0; i < factors.length; i++)
    importance[i % columns] = (importance[i % columns] as number) + (factors[i] as number) ** 2
  const mean = importance.reduce((sum, value) => sum + value, 0) / columns
  const added = mean > 0 ? damping * mean : 1
  const table = (size: 16 | 32): Uint8Array => {
    if (columns % size !== 0) return new Uint8Array()
    const order = processingOrder(importance, size)
    return whole ? exactTable(covariance.full, added, order, size) : lowRankTable(diagonal, added, factors, order, size)
  }
  const depth = whole ? 0 : Math.max(4, 4 * Math.ceil(factors.length / columns / 4))
  return { columns, importance: Float32Array.from(importance), depth, tables: { 16: table(16), 32: table(32) } }
}

/** How many columns share a scale; undefined for types whose codes are not chosen with feedback. */
export function feedbackGroup(type: GgmlTypeName): 16 | 32 | undefined {
  return forms[type]?.columns
}

/** Steps that a scale may go from the encoder's, either way, and a minimum too. */
export function feedbackReach(type: GgmlTypeName, effort: Effort): number {
  return forms[type]?.reach[effort] ?? 0
}

interface Form {
  /** Columns that share a scale. */
  readonly columns: 16 | 32
  readonly reach: Readonly<Record<Effort, number>>
}

// With a minimum the candidates are as many as the square of the steps. ggml itself is quick with Q3_K and Q6_K.
const withMinimum = { fast: 1, default: 2, best: 3 }
const withScale = { fast: 1, default: 2, best: 6 }
const quick = { fast: 1, default: 1, best: 4 }

const forms: { readonly [type in GgmlTypeName]?: Form } = {
  Q2_K: { columns: 16, reach: withMinimum },
  Q3_K: { columns: 16, reach: quick },
  Q4_K: { columns: 32, reach: withMinimum },
  Q5_K: { columns: 32, reach: withMinimum },
  Q6_K: { columns: 16, reach: quick },
  Q4_0: { columns: 32, reach: withScale },
  Q4_1: { columns: 32, reach: withMinimum },
  Q5_0: { columns: 32, reach: withScale },
  Q5_1: { columns: 32, reach: withMinimum },
  Q8_0: { columns: 32, reach: withScale },
  IQ4_NL: { columns: 32, reach: withScale },
  IQ4_XS: { columns: 32, reach: withScale },
}

/** The columns in the order of processing. */
function processingOrder(importance: Float64Array, size: number): Uint32Array {
  const groups = Array.from({ length: importance.length / size }, (_, group) => {
    const columns = Array.from({ length: size }, (_, i) => group * size + i)
    const sum = columns.reduce((total, column) => total + (importance[column] as number), 0)
    return { sum, columns: columns.toSorted((a, b) => (importance[b] as number) - (importance[a] as number)) }
  })
  return Uint32Array.from(groups.toSorted((a, b) => b.sum - a.sum).flatMap(({ columns }) => columns))
}
