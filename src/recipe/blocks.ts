import { type GgmlTypeName, ggmlBytes, ggmlType } from '../../formats/ggml/types.js'
import { concat } from './operations/concat.js'
import { constant } from './operations/constant.js'
import { mxfp4 } from './operations/mxfp4.js'
import { type PlaceRecipe, place } from './operations/place.js'
import { type PlainRecipe, plain } from './operations/plain.js'
import { q40 } from './operations/q4-0.js'
import { reshape } from './operations/reshape.js'
import { slice } from './operations/slice.js'
import { stack } from './operations/stack.js'
import { strideRows } from './operations/stride-rows.js'
import { takeColumns } from './operations/take-columns.js'
import type { Recipe, Shape } from './recipe.js'
import { elementCount, rowLength } from './shape.js'

/** Blocks of a ggml type in which the source stores a tensor. */
export interface StoredBlocks {
  readonly type: GgmlTypeName
  /** Whether conversion keeps them for any output type, as llama.cpp's converter does; others are kept if their type is requested. */
  readonly always: boolean
  /** Evaluates to their bytes as numbers, row by row: rows of the tensor are rows of it. */
  readonly bytes: Recipe
}

const numbers: ReadonlySet<GgmlTypeName> = new Set(['F32', 'F16', 'BF16', 'F64', 'I8', 'I16', 'I64'])

/** The source's blocks of a tensor, if its recipe only reorders whole rows of them; undefined for all other recipes. */
export function blocksOf(recipe: Recipe): StoredBlocks | undefined {
  switch (recipe.op) {
    case 'ggml': {
      const { type, range, shape } = recipe
      return numbers.has(type) ? undefined : { type, always: true, bytes: plain('U8', range, byteShape(type, shape)) }
    }
    case 'plain':
      return wholeNumbers(recipe)
    case 'mxfp4': {
      const { codes, scales, as, shape } = recipe
      return as === 'blocks'
        ? undefined
        : { type: 'MXFP4', always: true, bytes: mxfp4(codes, scales, byteShape('MXFP4', shape), 'blocks') }
    }
    case 'q4-0':
      return recipe.as === 'blocks' ? undefined : { type: 'Q4_0', always: false, bytes: q40(recipe, 'blocks') }
    case 'reshape':
      return rowLength(recipe.input) === rowLength(recipe)
        ? moved([recipe.input], (type, [input]) => reshape(input as Recipe, byteShape(type, recipe.shape)))
        : undefined
    case 'slice':
      // Columns may begin within a block.
      return recipe.axis === recipe.shape.length - 1
        ? undefined
        : moved([recipe.input], (_, [input]) => slice(input as Recipe, recipe.axis, recipe.start, recipe.end))
    case 'stride-rows':
      return moved([recipe.input], (_, [input]) => strideRows(input as Recipe, recipe.first, recipe.step))
    case 'stack':
      return recipe.shape.length < 2 ? undefined : moved(recipe.inputs, (_, inputs) => stack(inputs))
    case 'concat':
      return recipe.shape.length < 2 ? undefined : moved(recipe.inputs, (_, inputs) => concat(inputs))
    case 'place':
      return moved([recipe.input], (type, [input]) => placeBlocks(recipe, type, input as Recipe))
    default:
      return undefined
  }
}

/** Tables of numbers are no weights: they stay as they are, in the type that llama.cpp reads them in. */
function wholeNumbers({ dtype, range, shape }: PlainRecipe): StoredBlocks | undefined {
  const bytes = byteShape('I32', shape)
  if (dtype === 'I32') return { type: 'I32', always: true, bytes: plain('U8', range, bytes) }
  if (dtype !== 'I64') return undefined
  // The lower half of each, since none is negative or so large.
  const halves = takeColumns(plain('U8', range, [elementCount(shape), 8]), constant([0, 1, 2, 3]))
  return { type: 'I32', always: true, bytes: reshape(halves, bytes) }
}

/** Blocks of nothing but zeros are zeros in every type. Undefined where the runs do not keep blocks whole. */
function placeBlocks({ axis, runs, shape }: PlaceRecipe, type: GgmlTypeName, bytes: Recipe): Recipe | undefined {
  const size = shape[axis] as number
  if (axis < shape.length - 1) return place(bytes, axis, runs, size)
  const { blockSize, blockBytes } = ggmlType(type)
  if ([...runs, size].some((entries) => entries % blockSize !== 0)) return undefined
  return place(
    bytes,
    axis,
    runs.map((entries) => (entries / blockSize) * blockBytes),
    ggmlBytes(type, size),
  )
}

function byteShape(type: GgmlTypeName, shape: Shape): Shape {
  return [...shape.slice(0, -1), ggmlBytes(type, shape.at(-1) ?? 0)]
}

function moved(
  inputs: readonly Recipe[],
  move: (type: GgmlTypeName, bytes: Recipe[]) => Recipe | undefined,
): StoredBlocks | undefined {
  const found = inputs.map(blocksOf)
  const type = found[0]?.type
  if (type === undefined || found.some((blocks) => blocks?.type !== type)) return undefined
  const bytes = move(
    type,
    found.flatMap((blocks) => blocks?.bytes ?? []),
  )
  return bytes && { type, always: found.every((blocks) => blocks?.always), bytes }
}
