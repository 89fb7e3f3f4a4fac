import { fillParts, type Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { elementCount, rowLength, showShape } from '../shape.js'

/** Entries `start` to `end` (exclusive) of dimension `axis`; never the last axis. */
export interface SliceRecipe {
  readonly op: 'slice'
  readonly input: Recipe
  readonly axis: number
  readonly start: number
  readonly end: number
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly slice: SliceRecipe
  }
}

/** Entries `start` to `end` (exclusive) of dimension `axis`, which is not the last. @throws RangeError where there are no such entries. */
export function slice(input: Recipe, axis: number, start: number, end: number): SliceRecipe {
  const size = input.shape[axis]
  if (size === undefined || axis === input.shape.length - 1 || !(start >= 0 && start < end && end <= size)) {
    throw new RangeError(`entries ${start} to ${end} of dimension ${axis} of ${showShape(input.shape)}`)
  }
  return { op: 'slice', input, axis, start, end, shape: input.shape.with(axis, end - start) }
}

export const sliceOperation: Operation<SliceRecipe> = {
  operands: ({ input }) => [input],
  source: () => undefined,
  lossless: true,
  // A whole run of the input that follows itself without a gap.
  rowStep: ({ shape, axis }) => elementCount(shape.slice(axis, -1)),
  fill(node, start, target, { fill }) {
    const inner = elementCount(node.shape.slice(node.axis + 1, -1))
    const sliceRows = (node.end - node.start) * inner
    const inputRows = (node.input.shape[node.axis] ?? 0) * inner
    return fillParts(start, sliceRows, rowLength(node), target, (part, row, rows) =>
      fill(node.input, part * inputRows + node.start * inner + row, rows),
    )
  },
  read: (fields) => slice(fields.recipe('input'), fields.whole('axis'), fields.whole('start'), fields.whole('end')),
}
