import { evenlySpaced } from '../collections/index.js'
import { MqError } from '../errors/index.js'
import type { BlueprintTensor } from '../model/index.js'
import { elementCount, preferredRowStep, type Recipe, rowCount, rowLength } from '../recipe/index.js'
import type { RowRun } from './task.js'

/** Importance of a tensor's columns: one weight for each column, or for each column of each matrix (expert) one after the other. */
export type Importance = (tensorName: string) => Float32Array | undefined

/** Rows that the error feedback kernels process at a time: ranges are multiples of it where possible, so that no SIMD lane is empty. */
const laneRows = 16

/** One matrix of a tensor: an expert, a head, or the whole of it. A task has rows of one matrix only. */
interface Matrix {
  readonly recipe: Recipe
  /** First row of the matrix in its recipe. */
  readonly firstRow: number
  readonly rows: number
  /** First row of the matrix in the tensor. */
  readonly tensorRow: number
  readonly importance: Float32Array | undefined
  readonly input: string | undefined
}

/** Importance and input covariances of a tensor's columns. */
export interface Columns {
  readonly importance?: Importance | undefined
  /** Names the input of a matrix of a tensor, as Calibration does. */
  readonly inputOf?: ((tensorName: string, matrix: number) => string | undefined) | undefined
}

/**
 * Splits a tensor into ranges of rows of at most about `elements` values, in order. Ranges start and end at multiples of the recipe's row step,
 * contain at least one step, and never span two experts, whose importance differs.
 */
export function* rowRangesOf(tensor: BlueprintTensor, elements: number, known: Columns = {}): Generator<RowRun> {
  for (const matrix of matricesOf(tensor, known)) {
    const step = preferredRowStep(matrix.recipe)
    const most = Math.max(1, Math.floor(elements / (rowLength(tensor) * step))) * step
    const rows = most > laneRows && laneRows % step === 0 ? most - (most % laneRows) : most
    for (let row = 0; row < matrix.rows; ) {
      // Cut at multiples of the step in the recipe, wherever the matrix begins in it.
      const start = matrix.firstRow + row
      const cut = Math.floor(start / step) * step + rows
      const end = Math.min(matrix.rows, cut - matrix.firstRow)
      yield runOf(matrix, row, end)
      row = end
    }
  }
}

/**
 * Samples about `rows` rows: short runs, evenly spaced over every matrix of the tensor; the same rows each time. With fewer rows than matrices
 * it takes one row of evenly spaced matrices.
 * @param options maxMatrices: limit of matrices to sample, where each needs data of its own. runRows: consecutive rows of a run.
 */
export function sampleTensor(
  tensor: BlueprintTensor,
  rows: number,
  known: Columns = {},
  { maxMatrices = rows, runRows = 8 }: { readonly maxMatrices?: number; readonly runRows?: number } = {},
): RowRun[] {
  const matrices = [...matricesOf(tensor, known)]
  const most = Math.min(rows, maxMatrices)
  const sampled = evenlySpaced(matrices, most)
  const rowsEach = Math.max(1, Math.round(rows / sampled.length))
  return sampled.flatMap((matrix) => sampleMatrix(matrix, rowsEach, runRows))
}

/** The same of one matrix of a tensor, in runs of at most 16 rows. */
export function sampleMatrixOf(tensor: BlueprintTensor, matrix: number, rows: number, known: Columns): RowRun[] {
  for (const [index, found] of [...matricesOf(tensor, known)].entries())
    if (index === matrix) return sampleMatrix(found, rows, 16)
  throw new RangeError(`${tensor.name} has no matrix ${matrix}`)
}

function sampleMatrix(matrix: Matrix, rows: number, maxRunRows: number): RowRun[] {
  if (rows >= matrix.rows) return allRows(matrix, maxRunRows)
  const runRows = Math.min(maxRunRows, rows)
  const runs = Math.floor(rows / runRows)
  return Array.from({ length: runs }, (_, run) => {
    const start = Math.floor(((run + 0.5) * matrix.rows) / runs - runRows / 2)
    return runOf(matrix, start, start + runRows)
  })
}

function allRows(matrix: Matrix, together: number): RowRun[] {
  return Array.from({ length: Math.ceil(matrix.rows / together) }, (_, run) =>
    runOf(matrix, run * together, Math.min(matrix.rows, (run + 1) * together)),
  )
}

function* matricesOf(tensor: BlueprintTensor, { importance, inputOf }: Columns): Generator<Matrix> {
  const { recipe, shape } = tensor
  const count = elementCount(shape.slice(0, -2))
  const rows = rowCount(tensor) / count
  const weights = checkedImportance(tensor, count, importance?.(tensor.name))
  // An expert's own recipe is a small part of the whole: a task carries that alone.
  const stacked = recipe.op === 'stack' && recipe.inputs.length === count ? recipe.inputs : undefined
  for (let index = 0; index < count; index++) {
    const input = stacked?.[index]
    yield {
      recipe: input ?? recipe,
      firstRow: input === undefined ? index * rows : 0,
      rows,
      tensorRow: index * rows,
      importance: weights(index),
      input: inputOf?.(tensor.name, index),
    }
  }
}

function checkedImportance(
  tensor: BlueprintTensor,
  matrices: number,
  importance: Float32Array | undefined,
): (matrix: number) => Float32Array | undefined {
  if (importance === undefined) return () => undefined
  const columns = rowLength(tensor)
  if (importance.length === columns) return () => importance
  if (importance.length === columns * matrices) {
    // Copies: a view would send the buffer of all experts to the worker.
    return (matrix) => importance.slice(matrix * columns, (matrix + 1) * columns)
  }
  throw MqError.of('IMPORTANCE_MISMATCH', {
    tensor: tensor.name,
    problem: `${importance.length} values where ${columns * matrices} are needed`,
  })
}

function runOf({ recipe, firstRow, tensorRow, importance, input }: Matrix, start: number, end: number): RowRun {
  return {
    recipe,
    start: firstRow + start,
    end: firstRow + end,
    tensorRow: tensorRow + start,
    importance,
    input,
  }
}
