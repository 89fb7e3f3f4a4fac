import { findGgmlType, type GgmlTypeName, ggmlBytes } from '../../../formats/ggml/types.js'
import { type Operation, requireBytes, within } from '../operation.js'
import type { FileRange, Shape } from '../recipe.js'
import { elementCount, rowLength } from '../shape.js'

/** Blocks of a GGUF file, dequantized. */
export interface GgmlRecipe {
  readonly op: 'ggml'
  readonly type: GgmlTypeName
  readonly range: FileRange
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly ggml: GgmlRecipe
  }
}

/** Blocks of a GGUF file; a row holds whole blocks. @throws RangeError where the range is not of so many bytes. */
export function ggml(type: GgmlTypeName, range: FileRange, shape: Shape): GgmlRecipe {
  requireBytes(range, elementCount(shape.slice(0, -1)) * ggmlBytes(type, shape.at(-1) ?? 1), type)
  return { op: 'ggml', type, range, shape }
}

export const ggmlOperation: Operation<GgmlRecipe> = {
  operands: () => [],
  source: ({ type, range }) => ({ type, range }),
  lossless: false,
  rowStep: () => 1,
  async fill(node, start, target, { read, codec, buffers }) {
    const length = rowLength(node)
    const rowBytes = ggmlBytes(node.type, length)
    const bytes = await read(within(node.range, start * rowBytes, (start + target.length / length) * rowBytes))
    codec.dequantize(node.type, bytes, target.length, target)
    buffers.release(bytes)
  },
  read(fields) {
    const name = fields.text('type')
    const type = findGgmlType(name)?.name
    if (type === undefined || type !== name) throw new RangeError(`there is no type ${name}`)
    return ggml(type, fields.range('range'), fields.shape('shape'))
  },
}
