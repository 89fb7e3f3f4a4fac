import { ggmlType } from '../../../formats/ggml/types.js'
import { type Operation, requireBytes, within } from '../operation.js'
import { decodePlain, plainTypeBytes } from '../plain-values.js'
import type { FileRange, Shape } from '../recipe.js'
import { elementCount, showShape } from '../shape.js'
import { blockLength, blocksIn, codeBytes, type Form, forms, repackCodes } from './packed-blocks.js'
import { plain } from './plain.js'

/**
 * Symmetric 4-bit integers with a scale for each group of a row, two in a byte, the first in the lower half: value = (code - 8) * scale.
 * Source: pack_to_int32 of compressed-tensors, whose 32-bit words are these bytes. ggml's Q4_0 has the same codes and, where F16 holds the
 * scale, the same values: a group is one block of 32 or several.
 */
export interface Q40Recipe {
  readonly op: 'q4-0'
  readonly codes: FileRange
  readonly scales: FileRange
  readonly scaleType: ScaleType
  /** Values that share a scale: a multiple of 32. */
  readonly group: number
  /** `values`, or `blocks`: the bytes of ggml's blocks as numbers, 18 for each 32 values; NaN for the scale of a block that F16 does not hold. */
  readonly as: Form
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly 'q4-0': Q40Recipe
  }
}

const scaleTypes = ['F16', 'BF16'] as const
type ScaleType = (typeof scaleTypes)[number]

const { blockSize, blockBytes } = ggmlType('Q4_0')

interface Parts {
  readonly codes: FileRange
  readonly scales: FileRange
  readonly scaleType: ScaleType
  readonly group: number
}

/**
 * @param shape of the values or of the bytes.
 * @throws RangeError where rows are not whole groups, groups not whole blocks, or the ranges are of other lengths.
 */
export function q40({ codes, scales, scaleType, group }: Parts, shape: Shape, as: Q40Recipe['as'] = 'values'): Q40Recipe {
  const unit = blockLength('Q4_0', as)
  const blocks = elementCount(shape) / unit
  const perGroup = group / blockSize
  if (!Number.isInteger(perGroup) || perGroup < 1 || (shape.at(-1) ?? 0) % (perGroup * unit) !== 0) {
    throw new RangeError(`rows of Q4_0 in groups of ${group} in ${showShape(shape)}`)
  }
  requireBytes(codes, blocks * codeBytes, 'Q4_0 codes')
  requireBytes(scales, (blocks / perGroup) * plainTypeBytes[scaleType], 'Q4_0 scales')
  return { op: 'q4-0', codes, scales, scaleType, group, as, shape }
}

export const q40Operation: Operation<Q40Recipe> = {
  operands: ({ scales, scaleType }) => [plain(scaleType, scales, [(scales.end - scales.start) / plainTypeBytes[scaleType]])],
  source: ({ codes }) => ({ type: 'Q4_0', range: codes }),
  lossless: false,
  rowStep: () => 1,
  async fill(node, start, target, { read, buffers }) {
    const { first, count } = blocksIn(node, 'Q4_0', start, target)
    const perGroup = node.group / blockSize
    const scaleBytes = plainTypeBytes[node.scaleType]
    const [codes, bytes] = await Promise.all([
      read(within(node.codes, first * codeBytes, (first + count) * codeBytes)),
      read(within(node.scales, (first / perGroup) * scaleBytes, ((first + count) / perGroup) * scaleBytes)),
    ])
    const scales = buffers.floats(count / perGroup)
    decodePlain(node.scaleType, bytes, scales)
    const write = node.as === 'blocks' ? repack : decode
    for (let block = 0; block < count; block++) write(codes, scales[Math.floor(block / perGroup)] as number, block, target)
    buffers.release(codes)
    buffers.release(bytes)
    buffers.release(scales)
  },
  read: (fields) =>
    q40(
      {
        codes: fields.range('codes'),
        scales: fields.range('scales'),
        scaleType: fields.oneOf('scaleType', scaleTypes),
        group: fields.count('group'),
      },
      fields.shape('shape'),
      fields.oneOf('as', forms),
    ),
}

function decode(codes: Uint8Array, scale: number, block: number, target: Float32Array): void {
  for (let at = 0, to = block * blockSize; at < codeBytes; at++) {
    const both = codes[block * codeBytes + at] as number
    target[to++] = ((both & 15) - 8) * scale
    target[to++] = ((both >> 4) - 8) * scale
  }
}

/** ggml's block: the scale as F16, then bytes whose lower half is of the first 16 values. */
function repack(codes: Uint8Array, scale: number, block: number, target: Float32Array): void {
  const to = block * blockBytes
  const half = exactHalf(scale)
  target[to] = half === undefined ? Number.NaN : half & 0xff
  target[to + 1] = half === undefined ? Number.NaN : half >> 8
  repackCodes(codes, block, target, to + 2)
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
