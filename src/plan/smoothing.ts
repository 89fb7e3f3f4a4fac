import type { Importance } from '../engine/index.js'
import { type Blueprint, type Smoothing, smoothable } from '../model/index.js'
import { maxPower, powersText, rowLength } from '../recipe/index.js'

/**
 * Exponent of the scales, from 0 to 1, as in SmoothQuant and AWQ (alpha). A larger one makes inputs more even and the weights' columns less even:
 * at 0.5 the error of the weights is up to 8 % larger, at 0.15 to 0.33 some 5 % smaller. docs/decisions/0019-smoothing.md.
 */
const strength = 0.3
/**
 * A vector is scaled only if its largest column is at least this multiple of the root mean square of all: below it, rounding to 8 bits in blocks has a
 * relative error of (5 / 127)^2 / 12 = 1.3e-4, a tenth of that of Q5_K.
 */
const minOutlier = 5

/**
 * Chooses smoothing scales: large activation columns are divided by a power of two, and the weights that read them are multiplied by it.
 * llama.cpp rounds activations to 8 bits with one scale for each block, of 256 values for K- and IQ-types: a few large columns make the step coarse
 * for all others.
 * @param importance mean squares of inputs by column.
 * @returns undefined without importance, or if nothing would change.
 */
export function chooseSmoothing(
  model: Pick<Blueprint, 'architecture' | 'tensors'>,
  importance: Importance,
): Smoothing | undefined {
  const chosen: [string, string][] = []
  for (const { writer, readers } of smoothable(model)) {
    const squares = readers
      .map((reader) => importance(reader.name))
      .find((values, at) => values?.length === rowLength(readers[at] as (typeof readers)[number]))
    if (squares === undefined) continue
    const mean = squares.reduce((sum, square) => sum + square, 0) / squares.length
    if (Math.max(...squares) < minOutlier ** 2 * mean) continue
    const exponents = exponentsFor(squares)
    if (exponents.some((exponent) => exponent !== 0)) chosen.push([writer.name, powersText(exponents)])
  }
  return chosen.length === 0 ? undefined : Object.fromEntries(chosen)
}

/** @param squares mean squares of columns; those that are always zero are left as they are. */
function exponentsFor(squares: Float32Array): number[] {
  const logs = Array.from(squares, (square) => (square > 0 ? Math.log2(square) / 2 : Number.NaN))
  const known = logs.filter((log) => !Number.isNaN(log))
  const mean = known.reduce((sum, log) => sum + log, 0) / known.length
  return logs.map((log) => {
    if (Number.isNaN(log)) return 0
    return Math.max(-maxPower, Math.min(maxPower, Math.round(strength * (log - mean))))
  })
}
