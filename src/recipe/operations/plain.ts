import { type Operation, requireBytes, within } from '../operation.js'
import { decodePlain, type PlainType, plainTypeBytes, plainTypes } from '../plain-values.js'
import type { FileRange, Shape } from '../recipe.js'
import { elementCount, rowLength } from '../shape.js'

/** Values as stored, little-endian and row-major. */
export interface PlainRecipe {
  readonly op: 'plain'
  readonly dtype: PlainType
  readonly range: FileRange
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly plain: PlainRecipe
  }
}

/** Values as stored, little-endian and row-major. @throws RangeError where the range is not of so many bytes. */
export function plain(dtype: PlainType, range: FileRange, shape: Shape): PlainRecipe {
  requireBytes(range, elementCount(shape) * plainTypeBytes[dtype], dtype)
  return { op: 'plain', dtype, range, shape }
}

export const plainOperation: Operation<PlainRecipe> = {
  operands: () => [],
  source: ({ dtype: type, range }) => ({ type, range }),
  lossless: false,
  rowStep: () => 1,
  async fill(node, start, target, { read, buffers }) {
    const length = rowLength(node)
    const rowBytes = length * plainTypeBytes[node.dtype]
    const bytes = await read(within(node.range, start * rowBytes, (start + target.length / length) * rowBytes))
    decodePlain(node.dtype, bytes, target)
    buffers.release(bytes)
  },
  read: (fields) => plain(fields.oneOf('dtype', plainTypes), fields.range('range'), fields.shape('shape')),
}
