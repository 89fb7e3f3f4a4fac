import type { Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { rowLength, sameShape, showShape } from '../shape.js'

/**
 * A matrix `weight` times the factors `scale`, one for each block of blockRows x blockColumns, cropped at the edges: value = f32(weight) *
 * scale. DeepSeek's fp8, whose factors are named weight_scale_inv.
 */
export interface BlockScaleRecipe {
  readonly op: 'block-scale'
  readonly weight: Recipe
  readonly scale: Recipe
  readonly blockRows: number
  readonly blockColumns: number
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly 'block-scale': BlockScaleRecipe
  }
}

/** `weight`, rows x columns, times one factor of `scale` for each blockRows x blockColumns of it. @throws RangeError for other shapes. */
export function blockScale(weight: Recipe, scale: Recipe, blockRows: number, blockColumns: number): BlockScaleRecipe {
  const [rows, columns, ...more] = weight.shape
  if (rows === undefined || columns === undefined || more.length > 0)
    throw new RangeError(`block-scale of ${showShape(weight.shape)}`)
  const expected = [Math.ceil(rows / blockRows), Math.ceil(columns / blockColumns)]
  if (!sameShape(scale.shape, expected))
    throw new RangeError(`scales ${showShape(scale.shape)} where ${showShape(expected)} are needed`)
  return { op: 'block-scale', weight, scale, blockRows, blockColumns, shape: weight.shape }
}

export const blockScaleOperation: Operation<BlockScaleRecipe> = {
  operands: ({ weight, scale }) => [weight, scale],
  source: () => undefined,
  lossless: false,
  rowStep: ({ blockRows }) => blockRows,
  async fill(node, start, target, { fill, buffers }) {
    const { weight, scale, blockRows, blockColumns } = node
    const columns = rowLength(node)
    const end = start + target.length / columns
    const firstBlock = Math.floor(start / blockRows)
    const scaleColumns = rowLength(scale)
    const scales = buffers.floats((Math.ceil(end / blockRows) - firstBlock) * scaleColumns)
    await Promise.all([fill(weight, start, target), fill(scale, firstBlock, scales)])
    for (let row = start, at = 0; row < end; row++) {
      const scaleRow = (Math.floor(row / blockRows) - firstBlock) * scaleColumns
      for (let block = 0, column = 0; column < columns; block++) {
        const factor = scales[scaleRow + block] as number
        const blockEnd = Math.min(columns, column + blockColumns)
        for (; column < blockEnd; column++, at++) target[at] = (target[at] as number) * factor
      }
    }
    buffers.release(scales)
  },
  read: (fields) =>
    blockScale(fields.recipe('weight'), fields.recipe('scale'), fields.count('blockRows'), fields.count('blockColumns')),
}
