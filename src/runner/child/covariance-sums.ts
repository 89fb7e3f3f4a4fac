import type { Products } from '../../../formats/ggml/products.js'
import { type CollectedInput, randomSigns } from '../../../formats/imatrix/index.js'
import { MqError } from '../../errors/index.js'
import type { Form } from './covariance-plan.js'
import type { InputRows } from './input-rows.js'
import type { SurveyedInput } from './input-survey.js'
import { type RowSample, sampleRows } from './row-sample.js'

/** Held-out rows to keep: of a shared input, or of each expert or head. */
const keptRows = { shared: 128, own: 64 }

/** Sums of one input as they grow. */
interface Growing {
  readonly input: SurveyedInput
  readonly form: Form
  readonly tokens: number[]
  readonly whole?: Float32Array
  readonly squares?: Float32Array
  readonly sketch?: Float32Array
  readonly samples: readonly RowSample[]
}

/** Accumulates input covariances of a model, in full or as sketches. */
export interface CovarianceSums {
  /** Adds rows of an input. @param heldOut whether they are to be sampled instead. */
  add(key: string, rows: InputRows, heldOut: boolean): void
  /** What was summed. @throws MqError ACTIVATIONS_NOT_FINITE */
  collected(): ReadonlyMap<string, CollectedInput>
}

/** @param seed of the sketches' signs and of the sample of rows. */
export function covarianceSums(
  inputs: ReadonlyMap<string, SurveyedInput>,
  forms: ReadonlyMap<string, Form>,
  products: Products,
  seed: number,
): CovarianceSums {
  const signs = new Map<string, Float32Array>()
  const signsOf = (columns: number, width: number): Float32Array => {
    const id = `${columns} ${width}`
    const found = signs.get(id) ?? randomSigns(seed, columns, width)
    signs.set(id, found)
    return found
  }
  const growing = new Map([...inputs].map(([key, input]) => [key, grow(input, forms.get(key) as Form, seed)]))

  return {
    add(key, rows, heldOut) {
      const found = growing.get(key)
      if (found === undefined) return
      const { columns } = found.input
      for (const [matrix, starts] of rows.starts.entries()) {
        if (heldOut) {
          for (const start of starts) found.samples[matrix]?.offer(rows.values, start)
          continue
        }
        found.tokens[matrix] = (found.tokens[matrix] as number) + starts.length
        const { whole, squares, sketch, form } = found
        const scattered = { values: rows.values, starts }
        const part = <T extends Float32Array>(values: T, length: number) =>
          values.subarray(matrix * length, (matrix + 1) * length)
        if (starts.length === 0) continue
        if (whole !== undefined) products.addSquare(scattered, columns, part(whole, (columns * (columns + 1)) / 2))
        if (squares !== undefined) addSquares(rows.values, starts, columns, part(squares, columns))
        if (sketch !== undefined && form.kind === 'sketch') {
          products.addSketch(scattered, columns, signsOf(columns, form.width), part(sketch, columns * form.width))
        }
      }
    },
    collected() {
      return new Map([...growing].map(([key, sums]) => [key, collect(key, sums)]))
    },
  }
}

function grow(input: SurveyedInput, form: Form, seed: number): Growing {
  const { columns, matrices } = input
  const tokens = Array.from({ length: matrices }, () => 0)
  const size = matrices > 1 ? keptRows.own : keptRows.shared
  const samples = tokens.map((_, matrix) => sampleRows(columns, size, seed + matrix))
  if (form.kind === 'whole')
    return { input, form, tokens, samples, whole: new Float32Array(matrices * ((columns * (columns + 1)) / 2)) }
  const squares = new Float32Array(matrices * columns)
  const sketch = form.width === 0 ? {} : { sketch: new Float32Array(matrices * columns * form.width) }
  return { input, form, tokens, samples, squares, ...sketch }
}

/** Adds the sums of a batch's squares, made in double precision. */
function addSquares(values: Float32Array, starts: readonly number[], columns: number, sums: Float32Array): void {
  const batch = new Float64Array(columns)
  for (const from of starts) {
    for (let column = 0; column < columns; column += 1) {
      const value = values[from + column] as number
      batch[column] = (batch[column] as number) + value * value
    }
  }
  for (let column = 0; column < columns; column += 1) sums[column] = (sums[column] as number) + (batch[column] as number)
}

function collect(key: string, { input, tokens, whole, squares, sketch, samples }: Growing): CollectedInput {
  const { columns } = input
  const kept = new Float32Array(samples.reduce((sum, { rows }) => sum + rows.length, 0) * columns)
  let at = 0
  for (const row of samples.flatMap(({ rows }) => rows)) {
    kept.set(row, at)
    at += columns
  }
  for (const sums of [whole, squares, sketch, kept]) {
    if (sums !== undefined && !sums.every(Number.isFinite)) throw MqError.of('ACTIVATIONS_NOT_FINITE', { tensor: key })
  }
  return {
    columns,
    tokens,
    whole,
    squares,
    sketch,
    kept,
    keptCounts: samples.map(({ rows }) => rows.length),
  }
}
