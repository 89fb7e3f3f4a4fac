import { type Evaluation, fillParts } from './operation.js'
import type { PlaceRecipe } from './operations/place.js'
import type { Recipe } from './recipe.js'
import { type Runs, runsOf, runsWithin } from './runs.js'
import { elementCount, rowLength } from './shape.js'

/** Rows and columns of an input that are spread: all of them, in order, with zeros between them. */
export interface Spread {
  readonly input: Recipe
  /** Runs of rows within each of the equal parts of the input; undefined where rows keep their places. */
  readonly rows: SpreadRows | undefined
  /** Runs of columns; undefined where columns keep their places. */
  readonly columns: Runs | undefined
  /** Columns of the result. */
  readonly length: number
}

interface SpreadRows {
  readonly runs: Runs
  /** Rows of one entry of the runs. */
  readonly inner: number
  /** Rows of a part, of the input and of the result. */
  readonly from: number
  readonly to: number
}

/** The rows, columns or both that are spread by a placement and the one that it is made of; undefined where entries are left out or change their order. */
export function spreadOf(node: PlaceRecipe): Spread | undefined {
  const last = node.shape.length - 1
  if (!isSpread(node)) return undefined
  const length = rowLength(node)
  if (node.axis !== last) return { input: node.input, rows: spreadRowsOf(node), columns: undefined, length }
  const { input } = node
  const isBoth = input.op === 'place' && input.axis !== last && isSpread(input)
  return isBoth
    ? { input: input.input, rows: spreadRowsOf(input), columns: node.runs, length }
    : { input, rows: undefined, columns: node.runs, length }
}

function isSpread({ input, axis, runs }: PlaceRecipe): boolean {
  let next = 0
  for (const { from, count } of runsOf(runs)) {
    if (from !== next) return false
    next += count
  }
  return next === input.shape[axis]
}

function spreadRowsOf({ input, axis, runs, shape }: PlaceRecipe): SpreadRows {
  const inner = elementCount(shape.slice(axis + 1, -1))
  return { runs, inner, from: (input.shape[axis] as number) * inner, to: (shape[axis] as number) * inner }
}

/**
 * Fills rows of a spread from `start` on: the input is read to the end of the target, and its values move to their places from the first on. None is
 * overwritten before it has moved, as no value comes to stand behind where it is read.
 */
export async function fillSpread(
  { input, rows, columns, length }: Spread,
  start: number,
  target: Float32Array,
  fill: Evaluation['fill'],
): Promise<void> {
  const inputLength = rowLength(input)
  if (rows === undefined) return fillPart(start, [0, 0, target.length / length], target)
  await fillParts(start, rows.to, length, target, async (part, row, values) => {
    const runs = runsWithin(rows.runs, rows.inner, row, row + values.length / length)
    await fillPart(part * rows.from, runs, values)
  })

  async function fillPart(firstRow: number, runs: Runs, values: Float32Array): Promise<void> {
    const [lowest = 0] = runs
    const count = (runs.at(-3) ?? 0) + (runs.at(-1) ?? 0) - lowest
    const source = values.length - count * inputLength
    if (count > 0) await fill(input, firstRow + lowest, values.subarray(source))
    let free = 0
    for (const run of runsOf(runs)) {
      values.fill(0, free, run.to * length)
      free = (run.to + run.count) * length
      const from = source + (run.from - lowest) * inputLength
      if (columns === undefined) values.copyWithin(run.to * length, from, from + run.count * length)
      else {
        for (let row = 0; row < run.count; row++) {
          spreadRow(values, from + row * inputLength, (run.to + row) * length, length, columns)
        }
      }
    }
    values.fill(0, free)
  }
}

/** So many values move faster by a loop than by a call. */
const shortRun = 32

/** Moves the values of a row from `source` to `start`, where it has `length` values, in the same array, and writes zeros between them. */
function spreadRow(values: Float32Array, source: number, start: number, length: number, runs: Runs): void {
  let free = start
  for (let at = 0; at < runs.length; at += 3) {
    const [from, to, count] = [source + (runs[at] as number), start + (runs[at + 1] as number), runs[at + 2] as number]
    for (; free < to; free++) values[free] = 0
    free = to + count
    if (count > shortRun) values.copyWithin(to, from, from + count)
    else moveShort(values, from - to, to, free)
  }
  values.fill(0, free, start + length)
}

/** Moves values to `start` to `end`; four at a time, which takes three quarters of the time of one by one. */
function moveShort(values: Float32Array, shift: number, start: number, end: number): void {
  let at = start
  for (; at < end - 3; at += 4) {
    values[at] = values[at + shift] as number
    values[at + 1] = values[at + 1 + shift] as number
    values[at + 2] = values[at + 2 + shift] as number
    values[at + 3] = values[at + 3 + shift] as number
  }
  for (; at < end; at++) values[at] = values[at + shift] as number
}
