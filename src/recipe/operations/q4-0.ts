import { ggmlBytes, ggmlType } from '../../../formats/ggml/types.js'
import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { elementCount, rowLength, sameShape, showShape } from '../shape.js'

/**
 * A matrix of symmetric 4-bit integers with a scale for each group of a row: value = (code - 8) * scale. Where F16 holds the scale, ggml's
 * Q4_0 has the same codes and values: a group is one block of 32 or several.
 */
export interface Q40Recipe extends Q40Parts {
  readonly op: 'q4-0'
  /** `values`, or `blocks`: the bytes of ggml's blocks as numbers, 18 for each 32 values; NaN for the scale of a block that Q4_0 does not hold. */
  readonly as: 'values' | 'blocks'
  readonly shape: Shape
}

interface Q40Parts {
  /** The values as any other type gets them: rows x columns. */
  readonly values: Recipe
  /** Codes from 0 to 15: rows x columns. */
  readonly codes: Recipe
  /** Scales: rows x groups. */
  readonly scales: Recipe
  /** Zero points, rows x groups, each of which Q4_0 wants to be 8. Absent where all of them are. */
  readonly zeros: Recipe | undefined
  /** The group of each column, which Q4_0 wants in order. Absent where they are. */
  readonly index: Recipe | undefined
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly 'q4-0': Q40Recipe
  }
}

const { blockSize, blockBytes } = ggmlType('Q4_0')

/** @throws RangeError where rows are not whole groups, groups not whole blocks, or the parts are of other shapes. */
export function q40({ values, codes, scales, zeros, index }: Q40Parts, as: Q40Recipe['as'] = 'values'): Q40Recipe {
  const [rows = 0, columns = 0, ...more] = values.shape
  const [scaleRows, groups = 0] = scales.shape
  if (more.length > 0 || scaleRows !== rows || !Number.isInteger(columns / groups / blockSize)) {
    throw new RangeError(`Q4_0 of ${showShape(values.shape)} with scales ${showShape(scales.shape)}`)
  }
  if (
    !sameShape(codes.shape, values.shape) ||
    !(zeros === undefined || sameShape(zeros.shape, scales.shape)) ||
    !(index === undefined || sameShape(index.shape, [columns]))
  ) {
    throw new RangeError(`parts of Q4_0 of other shapes than ${showShape(values.shape)}`)
  }
  const shape = as === 'values' ? values.shape : [rows, ggmlBytes('Q4_0', columns)]
  return { op: 'q4-0', values, codes, scales, zeros, index, as, shape }
}

export const q40Operation: Operation<Q40Recipe> = {
  operands: ({ values, codes, scales, zeros, index, as }) =>
    as === 'values'
      ? [values]
      : [codes, scales, ...(zeros === undefined ? [] : [zeros]), ...(index === undefined ? [] : [index])],
  source: () => undefined,
  lossless: false,
  rowStep: ({ values, codes, as }, stepOf) => stepOf(as === 'values' ? values : codes),
  async fill(node, start, target, { fill, buffers }) {
    if (node.as === 'values') return fill(node.values, start, target)
    const columns = rowLength(node.codes)
    const groups = rowLength(node.scales)
    const rows = target.length / rowLength(node)
    const evaluated = async (operand: Recipe | undefined, first: number, rowsOf: number): Promise<Float32Array | undefined> => {
      if (operand === undefined) return undefined
      const found = buffers.floats(rowsOf * rowLength(operand))
      await fill(operand, first, found)
      return found
    }
    const [codes, scales, zeros, index] = await Promise.all([
      evaluated(node.codes, start, rows) as Promise<Float32Array>,
      evaluated(node.scales, start, rows) as Promise<Float32Array>,
      evaluated(node.zeros, start, rows),
      evaluated(node.index, 0, 1),
    ])
    const group = columns / groups
    const isInOrder = index?.every((value, column) => value === Math.floor(column / group)) !== false
    for (let block = 0; block < elementCount([rows, columns]) / blockSize; block++) {
      const at = Math.floor((block * blockSize) / group)
      const half = isInOrder && (zeros === undefined || zeros[at] === 8) ? exactHalf(scales[at] as number) : undefined
      writeBlock(codes, half, block, target)
    }
    for (const buffer of [codes, scales, zeros, index]) if (buffer !== undefined) buffers.release(buffer)
  },
  read: (fields) =>
    q40(
      {
        values: fields.recipe('values'),
        codes: fields.recipe('codes'),
        scales: fields.recipe('scales'),
        zeros: fields.optionalRecipe('zeros'),
        index: fields.optionalRecipe('index'),
      },
      fields.oneOf('as', ['values', 'blocks'] as const),
    ),
}

/** ggml's block: the scale as F16, then bytes whose lower halves are of the first 16 values. */
function writeBlock(codes: Float32Array, half: number | undefined, block: number, target: Float32Array): void {
  const from = block * blockSize
  const to = block * blockBytes
  target[to] = half === undefined ? Number.NaN : half & 0xff
  target[to + 1] = half === undefined ? Number.NaN : half >> 8
  for (let at = 0; at < blockSize / 2; at++) {
    target[to + 2 + at] = (codes[from + at] as number) + 16 * (codes[from + blockSize / 2 + at] as number)
  }
}

const largestHalf = 65_504
const smallestNormalHalf = 2 ** -14

/** The bits of a number as F16; undefined where F16 does not hold it exactly, or it is not finite. */
function exactHalf(value: number): number | undefined {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const size = Math.abs(value)
  if (!(size <= largestHalf)) return undefined
  if (size < smallestNormalHalf) {
    const steps = size * 2 ** 24
    return Number.isInteger(steps) ? sign | steps : undefined
  }
  const exponent = Math.floor(Math.log2(size))
  const fraction = (size / 2 ** exponent - 1) * 1024
  return Number.isInteger(fraction) && fraction >= 0 && fraction < 1024 ? sign | ((exponent + 15) << 10) | fraction : undefined
}
