import { ggmlType } from '../../../formats/ggml/types.js'
import { type Operation, requireBytes, within } from '../operation.js'
import type { FileRange, Shape } from '../recipe.js'
import { elementCount, rowLength, showShape } from '../shape.js'
import { plain } from './plain.js'

/**
 * MXFP4 as gpt-oss keeps it: 16 bytes for each 32 values, two in a byte, the first in the lower half; and a power of two for each block.
 * ggml's blocks hold the same bits in another order: the scale, then bytes whose lower half is of the first 16 values.
 */
export interface Mxfp4Recipe {
  readonly op: 'mxfp4'
  readonly codes: FileRange
  readonly scales: FileRange
  /** `values`, or `blocks`: the bytes of ggml's blocks as numbers, 17 for each 32 values. */
  readonly as: 'values' | 'blocks'
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly mxfp4: Mxfp4Recipe
  }
}

const { blockSize, blockBytes } = ggmlType('MXFP4')
const codeBytes = blockSize / 2

/** @param shape of the values or of the bytes. @throws RangeError where rows are not whole blocks, or the ranges are of other lengths. */
export function mxfp4(codes: FileRange, scales: FileRange, shape: Shape, as: Mxfp4Recipe['as'] = 'values'): Mxfp4Recipe {
  const unit = as === 'values' ? blockSize : blockBytes
  const blocks = elementCount(shape) / unit
  if ((shape.at(-1) ?? 0) % unit !== 0) throw new RangeError(`rows of MXFP4 in ${showShape(shape)}`)
  requireBytes(codes, blocks * codeBytes, 'MXFP4 codes')
  requireBytes(scales, blocks, 'MXFP4 scales')
  return { op: 'mxfp4', codes, scales, as, shape }
}

export const mxfp4Operation: Operation<Mxfp4Recipe> = {
  operands: ({ scales }) => [plain('U8', scales, [scales.end - scales.start])],
  source: ({ codes }) => ({ type: 'MXFP4', range: codes }),
  lossless: false,
  rowStep: () => 1,
  async fill(node, start, target, { read, buffers }) {
    const unit = node.as === 'values' ? blockSize : blockBytes
    const first = (start * rowLength(node)) / unit
    const count = target.length / unit
    const [codes, scales] = await Promise.all([
      read(within(node.codes, first * codeBytes, (first + count) * codeBytes)),
      read(within(node.scales, first, first + count)),
    ])
    const write = node.as === 'blocks' ? repack : decode
    for (let block = 0; block < count; block++) write(codes, scales, block, target)
    buffers.release(codes)
    buffers.release(scales)
  },
  read: (fields) =>
    mxfp4(
      fields.range('codes'),
      fields.range('scales'),
      fields.shape('shape'),
      fields.oneOf('as', ['values', 'blocks'] as const),
    ),
}

/** Values of E2M1 by code, and -0 as the formats have it. Source: OCP Microscaling Formats 1.0, section 5.3.3. */
const magnitudes = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
const e2m1 = Float32Array.from([...magnitudes, ...magnitudes.map((value) => -value)])

function decode(codes: Uint8Array, scales: Uint8Array, block: number, target: Float32Array): void {
  const exponent = scales[block] as number
  const scale = exponent === 255 ? Number.NaN : 2 ** (exponent - 127)
  for (let at = 0, to = block * blockSize; at < codeBytes; at++) {
    const both = codes[block * codeBytes + at] as number
    target[to++] = (e2m1[both & 15] as number) * scale
    target[to++] = (e2m1[both >> 4] as number) * scale
  }
}

function repack(codes: Uint8Array, scales: Uint8Array, block: number, target: Float32Array): void {
  const from = block * codeBytes
  const to = block * blockBytes
  target[to] = scales[block] as number
  const codeAt = (value: number): number => ((codes[from + (value >> 1)] as number) >> (4 * (value & 1))) & 15
  for (let at = 0; at < codeBytes; at++) target[to + 1 + at] = codeAt(at) | (codeAt(at + codeBytes) << 4)
}
