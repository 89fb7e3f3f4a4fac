import type { CollectedCovariance, CollectedInput, CovarianceFile, InputShape } from '../../formats/imatrix/index.js'
import { evenlySpaced } from '../collections/index.js'
import { MqError } from '../errors/index.js'

/**
 * Adds covariances of one model up, and appends their held-out rows. A held-out row of one file is part of the sums of another only if both were
 * made from the same text.
 * @param files with their names.
 * @param isOneText whether they are of groups of one text: as many held-out rows are kept as one file has at most.
 * @throws MqError CALIBRATION_MISMATCH for different ranks.
 */
export async function mergeCovariances(
  files: readonly (readonly [string, CovarianceFile])[],
  isOneText = false,
): Promise<CollectedCovariance> {
  const [first, ...others] = files
  if (first === undefined) throw new RangeError('no files')
  for (const other of others) checkAlike(first, other)
  const inputOf = new Map(files.flatMap(([, file]) => [...file.inputOf]))
  const inputs = new Map<string, CollectedInput>()
  for (const key of new Set(inputOf.values())) {
    const having = files.map(([, file]) => file).filter((file) => file.inputs.has(key))
    inputs.set(key, await addUp(key, having, isOneText))
  }
  const [, { seed, rank }] = first
  return { seed, rank, inputOf, inputs }
}

function checkAlike(
  [name, file]: readonly [string, CovarianceFile],
  [otherName, other]: readonly [string, CovarianceFile],
): void {
  const fail = (problem: string): MqError => MqError.of('CALIBRATION_MISMATCH', { file: otherName, first: name, problem })
  if (file.seed !== other.seed) throw fail(`the seeds of their sketches are ${other.seed} and ${file.seed}`)
  if (file.rank !== other.rank) throw fail(`their ranks are ${other.rank} and ${file.rank}`)
  for (const [weight, input] of other.inputOf) {
    const own = file.inputOf.get(weight)
    if (own !== undefined && own !== input) throw fail(`${weight} shares its input with ${input} and with ${own}`)
  }
  for (const [key, shape] of other.inputs) {
    const own = file.inputs.get(key)
    if (own !== undefined && describe(own) !== describe(shape)) {
      throw fail(`the covariances of ${key} are ${describe(shape)} and ${describe(own)}`)
    }
  }
}

function describe({ columns, matrices, form, width }: InputShape): string {
  return `${form === 'sketch' ? `a sketch of ${width} columns` : form === 'whole' ? 'full' : form}, ${matrices} x ${columns} columns`
}

async function addUp(key: string, files: readonly CovarianceFile[], isOneText: boolean): Promise<CollectedInput> {
  const { columns, matrices, form, width } = (files[0] as CovarianceFile).inputs.get(key) as InputShape
  const sums = (length: number, present: boolean): Float64Array | undefined =>
    present ? new Float64Array(length * matrices) : undefined
  const whole = sums((columns * (columns + 1)) / 2, form === 'whole')
  const squares = sums(columns, form !== 'whole')
  const sketch = sums(columns * width, form === 'sketch')
  const tokens = Array.from({ length: matrices }, () => 0)
  const keptCounts = Array.from({ length: matrices }, () => 0)
  const kept: Float32Array[] = []
  for (let matrix = 0; matrix < matrices; matrix += 1) {
    const rowsOfFiles: Float32Array[] = []
    for (const file of files) {
      const own = await file.sums(key, matrix)
      tokens[matrix] = (tokens[matrix] as number) + own.tokens
      addTo(whole, own.whole, matrix)
      addTo(squares, own.squares, matrix)
      addTo(sketch, own.sketch, matrix)
      rowsOfFiles.push(await file.kept(key, matrix))
    }
    const rows = isOneText ? thinned(rowsOfFiles, columns) : rowsOfFiles
    kept.push(...rows)
    keptCounts[matrix] = rows.reduce((sum, { length }) => sum + length, 0) / columns
  }
  return {
    columns,
    tokens,
    whole: whole === undefined ? undefined : Float32Array.from(whole),
    squares: squares === undefined ? undefined : Float32Array.from(squares),
    sketch: sketch === undefined ? undefined : Float32Array.from(sketch),
    kept: joined(kept),
    keptCounts,
  }
}

/** Of the rows of several files, in their order, as many as the one with the most has. */
function thinned(parts: readonly Float32Array[], columns: number): Float32Array[] {
  const rows = parts.flatMap((part) =>
    Array.from({ length: part.length / columns }, (_, row) => part.subarray(row * columns, (row + 1) * columns)),
  )
  const most = Math.max(0, ...parts.map(({ length }) => length / columns))
  return [...evenlySpaced(rows, most)]
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function addTo(sums: Float64Array | undefined, values: Float32Array | undefined, matrix: number): void {
  if (sums === undefined || values === undefined) return
  const from = matrix * values.length
  for (let i = 0; i < values.length; i += 1) sums[from + i] = (sums[from + i] as number) + (values[i] as number)
}
