import type { Codec } from '../../formats/ggml/codec.js'
import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { Fields } from './fields.js'
import type { PlainType } from './plain-values.js'
import type { FileRange, Recipe } from './recipe.js'
import type { Statistics } from './statistics.js'

/** Reads exactly the bytes of a range. */
export type ReadRange = (range: FileRange) => Promise<Uint8Array>

/** Buffer pool of an evaluation; buffers have undefined content. */
export interface Buffers {
  floats(length: number): Float32Array
  /** Releases a buffer, or the bytes of a range that was read. */
  release(view: ArrayBufferView): void
}

/** What an operation evaluates with. */
export interface Evaluation {
  readonly read: ReadRange
  readonly codec: Codec
  readonly buffers: Buffers
  readonly statistics: Statistics
  /** Writes as many rows of an operand, from `start`, as the target has room for. */
  readonly fill: (operand: Recipe, start: number, target: Float32Array) => Promise<void>
}

/** Values of a source file that a node reads. */
export interface Source {
  readonly type: PlainType | GgmlTypeName
  readonly range: FileRange
}

/**
 * Definition of one kind of recipe node. `Node` is plain data that JSON can hold, with `op`, the operation's name in the table, and
 * `shape`, the shape of its values; its constructor throws a RangeError for shapes that do not fit.
 */
export interface Operation<Node> {
  /** The recipes that a node is computed from, in order. */
  operands(node: Node): readonly Recipe[]
  /** The file range that a node reads; undefined if it reads only its operands. */
  source(node: Node): Source | undefined
  /** Whether the node only moves the values of its operands. */
  readonly lossless: boolean
  /** Rows at whose multiples a range of rows should start and end so that little is read or computed twice. `stepOf` gives an operand's. */
  rowStep(node: Node, stepOf: (operand: Recipe) => number): number
  /** Writes as many rows of the node, from row `start`, as the target has room for. */
  fill(node: Node, start: number, target: Float32Array, evaluation: Evaluation): Promise<void>
  /** Builds a node from fields of unknown origin. @throws RangeError where they are not those of such a node. */
  read(fields: Fields): Node
}

/** Fills rows that come from equal parts of `partRows` rows each: `fillPart(part, first row in it, its share of the target)`. */
export async function fillParts(
  start: number,
  partRows: number,
  length: number,
  target: Float32Array,
  fillPart: (part: number, row: number, target: Float32Array) => Promise<void>,
): Promise<void> {
  const end = start + target.length / length
  for (let row = start; row < end; ) {
    const part = Math.floor(row / partRows)
    const next = Math.min(end, (part + 1) * partRows)
    await fillPart(part, row - part * partRows, target.subarray((row - start) * length, (next - start) * length))
    row = next
  }
}

/** Bytes `from` to `to` (exclusive) of a range. */
export function within({ file, start }: FileRange, from: number, to: number): FileRange {
  return { file, start: start + from, end: start + to }
}

/** @throws RangeError where a range is not of so many bytes. */
export function requireBytes({ start, end }: FileRange, bytes: number, type: string): void {
  if (end - start !== bytes) throw new RangeError(`${end - start} bytes where ${bytes} of ${type} are needed`)
}
