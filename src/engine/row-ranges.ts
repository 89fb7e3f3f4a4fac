import { evenlySpaced } from '../collections/index.js'
import { MqError } from '../errors/index.js'
import type { BlueprintTensor } from '../model/index.js'
import { elementCount, preferredRowStep, type Recipe, rowCount, rowLength } from '../recipe/index.js'
import type { RowRun } from './task.js'

/** Importance of a tensor's columns: one weight for each column, or for each column of each matrix (expert) one after the other. */
export type Importance = (tensorName: string) => Float32Array | undefined

/** Rows that kernels of error feedback take at a time: where there is a choice, none of their lanes is left empty. */
const rowsInLanes = 16

/** One matrix of a tensor: an expert, a head, or the whole of it. Rows of a task never come from two. */
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
 * Cuts a tensor into runs of rows of at most about `elements` values, in order. A run starts and ends where its recipe likes to be cut,
 * holds at least one step of it, and never spans two experts, whose importance differs.
 */
export function* rowRangesOf(tensor: BlueprintTensor, elements: number, known: Columns = {}): Generator<RowRun> {
  for (const matrix of matricesOf(tensor, known)) {
    const step = preferredRowStep(matrix.recipe)
    const most = Math.max(1, Math.floor(elements / (rowLength(tensor) * step))) * step
    const rows = most > rowsInLanes && rowsInLanes % step === 0 ? most - (most % rowsInLanes) : most
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
 * A sample of about `rows` rows: short runs, evenly spaced over every matrix of the tensor, the same ones each time. With fewer rows
 * than matrices it takes one row of every so many matrices.
 * @param options maxMatrices: so many at most, where each costs something of its own. runRows: rows that lie together.
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
  if (rows >= matrix.rows) return everyRow(matrix, maxRunRows)
  const runRows = Math.min(maxRunRows, rows)
  const runs = Math.floor(rows / runRows)
  return Array.from({ length: runs }, (_, run) => {
    const start = Math.floor(((run + 0.5) * matrix.rows) / runs - runRows / 2)
    return runOf(matrix, start, start + runRows)
  })
}

function everyRow(matrix: Matrix, together: number): RowRun[] {
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
    // Copies: a view would drag the other experts' weights along to the worker.
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
