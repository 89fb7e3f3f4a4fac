import { type GgmlTypeName, ggmlType } from '../../../formats/ggml/types.js'
import type { Shape } from '../recipe.js'
import { rowLength } from '../shape.js'

/** What a node of packed codes evaluates to: their values, or the bytes of ggml's blocks as numbers. */
export const forms = ['values', 'blocks'] as const
export type Form = (typeof forms)[number]

/** Bytes of the codes of a block of 32: two in a byte, the first in the lower half. */
export const codeBytes = 16

/** How many numbers of a node are of one block. */
export function blockLength(type: GgmlTypeName, as: Form): number {
  const { blockSize, blockBytes } = ggmlType(type)
  return as === 'values' ? blockSize : blockBytes
}

/** The first block, and how many blocks, of rows from `start` that fill a target. */
export function blocksIn(
  node: { readonly as: Form; readonly shape: Shape },
  type: GgmlTypeName,
  start: number,
  target: Float32Array,
): { readonly first: number; readonly count: number } {
  const unit = blockLength(type, node.as)
  return { first: (start * rowLength(node)) / unit, count: target.length / unit }
}

/** Writes the codes of a block in ggml's order: bytes whose lower half is of the first 16 values, the upper of the others. */
export function repackCodes(codes: Uint8Array, block: number, target: Float32Array, to: number): void {
  const from = block * codeBytes
  const codeAt = (value: number): number => ((codes[from + (value >> 1)] as number) >> (4 * (value & 1))) & 15
  for (let at = 0; at < codeBytes; at++) target[to + at] = codeAt(at) | (codeAt(at + codeBytes) << 4)
}
