import { fillParts, type Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { rowLength, showShape } from '../shape.js'

/** Llama's rotary permutation inside each head: new row h*d + 2j + i is old row h*d + i*d/2 + j, with d rows a head. */
export interface InterleaveHalvesRecipe {
  readonly op: 'interleave-halves'
  readonly input: Recipe
  readonly heads: number
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly 'interleave-halves': InterleaveHalvesRecipe
  }
}

/**
 * Llama's rotary permutation of the first dimension (heads * d) of a matrix or a vector: new h*d + 2j + i is old h*d + i*d/2 + j.
 * @throws RangeError where the dimension is not so many heads of two halves.
 */
export function interleaveHalves(input: Recipe, heads: number): InterleaveHalvesRecipe {
  const [rows = 0, ...more] = input.shape
  if (more.length > 1 || rows % (2 * heads) !== 0)
    throw new RangeError(`${showShape(input.shape)} is not ${heads} heads of two halves`)
  return { op: 'interleave-halves', input, heads, shape: input.shape }
}

export const interleaveHalvesOperation: Operation<InterleaveHalvesRecipe> = {
  operands: ({ input }) => [input],
  source: () => undefined,
  lossless: true,
  rowStep: ({ shape, heads, input }, stepOf) => leastCommonMultiple((shape[0] ?? 1) / heads, stepOf(input)),
  async fill({ input, heads, shape }, start, target, { fill, buffers }) {
    const headRows = (shape[0] ?? 0) / heads
    const half = headRows / 2
    if (shape.length === 1) {
      const values = buffers.floats(target.length)
      await fill(input, 0, values)
      for (let at = 0; at < target.length; at++) {
        const inHead = at % headRows
        target[at] = values[at - inHead + (inHead % 2) * half + Math.floor(inHead / 2)] as number
      }
      return buffers.release(values)
    }
    const length = rowLength(input)
    await fillParts(start, headRows, length, target, async (head, row, rows) => {
      const end = row + rows.length / length
      // Even rows are a run of the head's first half, odd rows one of its second.
      for (const parity of [0, 1]) {
        const from = Math.ceil((row - parity) / 2)
        const run = buffers.floats((Math.ceil((end - parity) / 2) - from) * length)
        await fill(input, head * headRows + parity * half + from, run)
        for (let at = 0, to = 2 * from + parity - row; at < run.length; at += length, to += 2) {
          rows.set(run.subarray(at, at + length), to * length)
        }
        buffers.release(run)
      }
    })
  },
  read: (fields) => interleaveHalves(fields.recipe('input'), fields.count('heads')),
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b]
  while (y !== 0) [x, y] = [y, x % y]
  return (a / x) * b
}
