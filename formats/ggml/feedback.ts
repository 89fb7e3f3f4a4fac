import type { Covariance } from './covariance.js'
import { type Eliminations, plainEliminations } from './elimination.js'
import { type FeedbackLayout, feedbackLayouts } from './feedback-forms.js'
import { exactTable, lowRankTable, processingOrder } from './feedback-tables.js'

/** A covariance made ready for the kernels. It serves every weight with the same input, on any thread: it is data. */
export interface FeedbackFactor {
  /** Columns, n. */
  readonly columns: number
  /** Diagonal of H as it was given: the importance of the columns. */
  readonly importance: Float32Array
  /** Depth of the kernels' state: the rank, rounded up to a multiple of 4; 0 where H is kept whole. */
  readonly depth: number
  /** Who gives it promises that tables of one name are the same: a codec keeps the last ones in the kernels' memory. */
  readonly name?: string
  /** The kernels' tables, of the layouts that were asked for. */
  readonly tables: Readonly<Partial<Record<FeedbackLayout, Uint8Array>>>
}

/**
 * Factorises the damped covariance of a weight's inputs, once for all weights that share them.
 *
 * Groups of columns (those of one scale) are processed from the greatest mean diagonal to the least, and so are the columns within a
 * group: the errors of strong columns are then compensated by many others.
 * @param covariance n is a multiple of 32.
 * @param damping added to every entry of the diagonal, in units of its mean, 1e-6 to 1e6; 0.2 to 0.5 carries over to other text, 0.01
 *   fits this. Where the diagonal is all zeros every column counts the same.
 * @param layouts those of the types to come, see `feedbackLayout`; by default all.
 * @param eliminations by default without kernels, which takes longer.
 * @returns for each layout about n * (4 k + 128) bytes, and n^2 where H is whole.
 * @throws RangeError where the sizes do not agree, the diagonal is not of values >= 0, or something is not finite in single precision.
 */
export function prepareFeedback(
  covariance: Covariance,
  damping: number,
  layouts: readonly FeedbackLayout[] = feedbackLayouts,
  eliminations: Eliminations = plainEliminations,
): FeedbackFactor {
  // Covariances are sums in single precision: with less damping, feedback would compensate rounding errors.
  if (!(damping >= 1e-6 && damping <= 1e6)) throw new RangeError(`a damping of ${damping}`)
  const whole = 'full' in covariance
  const columns = whole ? Math.round(Math.sqrt(covariance.full.length)) : covariance.diagonal.length
  const factors = whole ? new Float64Array() : (covariance.factors ?? new Float64Array())
  if (whole && columns ** 2 !== covariance.full.length) throw new RangeError(`${covariance.full.length} values are not square`)
  if (columns === 0 || columns % 32 !== 0) throw new RangeError(`${columns} columns are not a multiple of 32`)
  if (factors.length % columns !== 0) throw new RangeError(`${factors.length} values are not rows of ${columns}`)
  const diagonal = Float64Array.from({ length: columns }, (_, i) =>
    whole ? (covariance.full[i * columns + i] as number) : (covariance.diagonal[i] as number),
  )
  if (!diagonal.every((value) => value >= 0)) throw new RangeError('a diagonal with values that are no variances')
  const importance = Float64Array.from(diagonal)
  for (let from = 0; from < factors.length; from += columns) {
    for (let i = 0; i < columns; i++) importance[i] = (importance[i] as number) + (factors[from + i] as number) ** 2
  }
  if (!areFinite(whole ? covariance.full : importance)) throw new RangeError('a covariance that is not finite')
  const mean = importance.reduce((sum, value) => sum + value, 0) / columns
  const added = mean > 0 ? damping * mean : 1
  const tables = layouts.map((layout) => {
    const order = processingOrder(importance, layout)
    const size = layout.startsWith('16') ? 16 : 32
    const table = whole
      ? exactTable(covariance.full, added, order, size, eliminations)
      : lowRankTable(diagonal, added, factors, order, size, eliminations)
    return [layout, table] as const
  })
  const depth = whole ? 0 : Math.max(4, 4 * Math.ceil(factors.length / columns / 4))
  return { columns, importance: Float32Array.from(importance), depth, tables: Object.fromEntries(tables) }
}

/** Whether all values are finite in single precision. A plain loop: callbacks take several times as long on a whole covariance. */
function areFinite(values: Float64Array): boolean {
  for (let at = 0; at < values.length; at++) if (!Number.isFinite(Math.fround(values[at] as number))) return false
  return true
}
