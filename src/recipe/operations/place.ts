import { fillParts, type Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { runsOf, runsWithin } from '../runs.js'
import { elementCount, rowLength, showShape } from '../shape.js'
import { fillSpread, spreadOf } from '../spread.js'

/** Entries of dimension `axis` at other places of a dimension of another size; zeros where none comes to stand. */
export interface PlaceRecipe {
  readonly op: 'place'
  readonly input: Recipe
  readonly axis: number
  /** Three numbers for each run of entries: its first in the input, its first in the result, how many. */
  readonly runs: readonly number[]
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly place: PlaceRecipe
  }
}

/**
 * Entries of dimension `axis` at other places, zeros elsewhere: a width that grows, or shrinks back.
 * @param runs `[from, to, count, from, to, count, ...]`, in order of `to`.
 * @param size entries of the dimension in the result.
 * @throws RangeError where a run does not fit, or two overlap in the result.
 */
export function place(input: Recipe, axis: number, runs: readonly number[], size: number): PlaceRecipe {
  const entries = input.shape[axis]
  if (entries === undefined || runs.length % 3 !== 0) throw new RangeError(`dimension ${axis} of ${showShape(input.shape)}`)
  let free = 0
  for (const { from, to, count } of runsOf(runs)) {
    if (count < 1 || from < 0 || from + count > entries || to < free || to + count > size) {
      throw new RangeError(`entries ${from} to ${from + count} of ${entries} at ${to} of ${size}`)
    }
    free = to + count
  }
  return { op: 'place', input, axis, runs, shape: input.shape.with(axis, size) }
}

/** So many runs of rows are read one by one. */
const fewRuns = 4

/** So many values are copied faster by a loop than by a call. */
const shortRun = 32

function placeRow(values: Float32Array, source: number, target: Float32Array, start: number, runs: readonly number[]): void {
  for (const { from, to, count } of runsOf(runs)) {
    const [first, at] = [source + from, start + to]
    if (count > shortRun) target.set(values.subarray(first, first + count), at)
    else for (let i = 0; i < count; i++) target[at + i] = values[first + i] as number
  }
}

export const placeOperation: Operation<PlaceRecipe> = {
  operands: ({ input }) => [input],
  source: () => undefined,
  // A zero is a value of every type that numbers are read from.
  lossless: true,
  rowStep({ input, axis, shape }, stepOf) {
    const step = stepOf(input)
    if (axis === shape.length - 1) return step
    // Entries are spread evenly, so that a step of the input takes up as much more of the result.
    const wider = (step * (shape[axis] as number)) / (input.shape[axis] as number)
    return Number.isInteger(wider) ? wider : step
  },
  async fill(node, start, target, evaluation) {
    const spread = spreadOf(node)
    if (spread !== undefined) return fillSpread(spread, start, target, evaluation.fill)
    const { fill, buffers } = evaluation
    const { input, axis, runs, shape } = node
    target.fill(0)
    const length = rowLength(node)
    if (axis === shape.length - 1) {
      const inputLength = rowLength(input)
      const rows = target.length / length
      const values = buffers.floats(rows * inputLength)
      await fill(input, start, values)
      for (let row = 0; row < rows; row++) placeRow(values, row * inputLength, target, row * length, runs)
      buffers.release(values)
      return
    }
    const inner = elementCount(shape.slice(axis + 1, -1))
    const inputRows = (input.shape[axis] as number) * inner
    await fillParts(start, (shape[axis] as number) * inner, length, target, async (part, row, rows) => {
      const wanted = [...runsOf(runsWithin(runs, inner, row, row + rows.length / length))]
      if (wanted.length <= fewRuns) {
        for (const { from, to, count } of wanted) {
          await fill(input, part * inputRows + from, rows.subarray(to * length, (to + count) * length))
        }
        return
      }
      // One read of all rows, which are then put into their places.
      const [lowest, highest] = [
        Math.min(...wanted.map(({ from }) => from)),
        Math.max(...wanted.map(({ from, count }) => from + count)),
      ]
      const values = buffers.floats((highest - lowest) * length)
      await fill(input, part * inputRows + lowest, values)
      for (const { from, to, count } of wanted) {
        rows.set(values.subarray((from - lowest) * length, (from - lowest + count) * length), to * length)
      }
      buffers.release(values)
    })
  },
  read: (fields) => {
    const shape = fields.shape('shape')
    const axis = fields.whole('axis')
    return place(fields.recipe('input'), axis, fields.numbers('runs'), shape[axis] ?? 0)
  },
}
