import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { elementCount, rowLength, showShape } from '../shape.js'

/** Entries of dimension `axis` times powers of two, one for each. Both are exact in F32, F16 and BF16 as far as their exponents reach. */
export interface ScaleRecipe {
  readonly op: 'scale'
  readonly input: Recipe
  readonly axis: number
  /** A letter for each entry, a to y: `m` is 2^0, `n` 2^1, `l` 2^-1. */
  readonly powers: string
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly scale: ScaleRecipe
  }
}

const letters = /^[a-y]*$/
const one = 'm'.charCodeAt(0)
/** The largest power, and minus the least. */
export const maxPower = 12

/** Powers of two as letters. @param exponents whole, from -12 to 12. */
export function powersText(exponents: Iterable<number>): string {
  return Array.from(exponents, (exponent) => String.fromCharCode(one + exponent)).join('')
}

/** The exponents that letters stand for. @throws RangeError where one is none of a to y. */
export function exponentsOf(powers: string): Int8Array {
  if (!letters.test(powers)) throw new RangeError('a power is none of a to y')
  return Int8Array.from(powers, (letter) => letter.charCodeAt(0) - one)
}

/** @throws RangeError where there is no such dimension, or it has another number of entries. */
export function scale(input: Recipe, axis: number, powers: string): ScaleRecipe {
  const { shape } = input
  if (shape[axis] !== powers.length || !letters.test(powers)) {
    throw new RangeError(`${powers.length} powers for dimension ${axis} of ${showShape(shape)}`)
  }
  return { op: 'scale', input, axis, powers, shape }
}

export const scaleOperation: Operation<ScaleRecipe> = {
  operands: ({ input }) => [input],
  source: () => undefined,
  lossless: false,
  rowStep: ({ input }, stepOf) => stepOf(input),
  async fill({ input, axis, powers, shape }, start, target, { fill }) {
    await fill(input, start, target)
    const factors = Float32Array.from(exponentsOf(powers), (exponent) => 2 ** exponent)
    const length = rowLength(input)
    const isLast = axis === shape.length - 1
    const inner = elementCount(shape.slice(axis + 1, -1))
    for (let at = 0, row = start; at < target.length; at += length, row += 1) {
      if (isLast) for (let i = 0; i < length; i += 1) target[at + i] = (target[at + i] as number) * (factors[i] as number)
      else {
        const factor = factors[Math.floor(row / inner) % factors.length] as number
        for (let i = at; i < at + length; i += 1) target[i] = (target[i] as number) * factor
      }
    }
  },
  read: (fields) => scale(fields.recipe('input'), fields.whole('axis'), fields.text('powers')),
}
