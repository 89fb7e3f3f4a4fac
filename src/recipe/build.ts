import { type GgmlTypeName, ggmlBytes } from '../../formats/ggml/types.js'
import { elementCount, sameShape, showShape } from './shape.js'
import type { FileRange, PlainType, Recipe, Shape } from './types.js'

/** Bytes of one value of each plain type. */
export const plainTypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const satisfies Record<PlainType, number>

// The constructors throw RangeError: a shape that does not fit is a mistake of the caller, who checks what comes from outside.

/** Values as stored, little-endian and row-major. */
export function plain(dtype: PlainType, range: FileRange, shape: Shape): Recipe {
  requireBytes(range, elementCount(shape) * plainTypeBytes[dtype], dtype)
  return { op: 'plain', dtype, range, shape }
}

/** Blocks of a GGUF file; a row holds whole blocks. */
export function ggml(type: GgmlTypeName, range: FileRange, shape: Shape): Recipe {
  requireBytes(range, elementCount(shape.slice(0, -1)) * ggmlBytes(type, shape.at(-1) ?? 1), type)
  return { op: 'ggml', type, range, shape }
}

/** `weight`, rows x columns, times one factor of `scale` for each blockRows x blockColumns of it. */
export function blockScale(weight: Recipe, scale: Recipe, blockRows: number, blockColumns: number): Recipe {
  const [rows, columns, ...more] = weight.shape
  if (rows === undefined || columns === undefined || more.length > 0)
    throw new RangeError(`block-scale of ${showShape(weight.shape)}`)
  const expected = [Math.ceil(rows / blockRows), Math.ceil(columns / blockColumns)]
  if (!sameShape(scale.shape, expected))
    throw new RangeError(`scales ${showShape(scale.shape)} where ${showShape(expected)} are needed`)
  return { op: 'block-scale', weight, scale, blockRows, blockColumns, shape: weight.shape }
}

/** Llama's rotary permutation of the first dimension (heads * d) of a matrix or a vector: new h*d + 2j + i is old h*d + i*d/2 + j. */
export function interleaveHalves(input: Recipe, heads: number): Recipe {
  const [rows = 0, ...more] = input.shape
  if (more.length > 1 || rows % (2 * heads) !== 0)
    throw new RangeError(`${showShape(input.shape)} is not ${heads} heads of two halves`)
  return { op: 'interleave-halves', input, heads, shape: input.shape }
}

/** The same values under another shape. */
export function reshape(input: Recipe, shape: Shape): Recipe {
  if (elementCount(input.shape) !== elementCount(shape)) throw new RangeError(`${showShape(input.shape)} as ${showShape(shape)}`)
  return { op: 'reshape', input, shape }
}

/** Entries `start` to `end` (exclusive) of dimension `axis`, which is not the last. */
export function slice(input: Recipe, axis: number, start: number, end: number): Recipe {
  const size = input.shape[axis]
  if (size === undefined || axis === input.shape.length - 1 || !(start >= 0 && start < end && end <= size)) {
    throw new RangeError(`entries ${start} to ${end} of dimension ${axis} of ${showShape(input.shape)}`)
  }
  return { op: 'slice', input, axis, start, end, shape: input.shape.with(axis, end - start) }
}

/** The last two dimensions exchanged. */
export function transpose(input: Recipe): Recipe {
  const [columns, rows, ...outer] = input.shape.toReversed()
  if (columns === undefined || rows === undefined) throw new RangeError(`transpose of ${showShape(input.shape)}`)
  return { op: 'transpose', input, shape: [...outer.reverse(), columns, rows] }
}

/** Equal shapes one after the other under a new first dimension. */
export function stack(inputs: readonly Recipe[]): Recipe {
  const [first] = inputs
  if (first === undefined || !inputs.every(({ shape }) => sameShape(shape, first.shape))) throw new RangeError('unequal shapes')
  return { op: 'stack', inputs, shape: [inputs.length, ...first.shape] }
}

/** One after the other along the first dimension; the other dimensions are equal. */
export function concat(inputs: readonly Recipe[]): Recipe {
  const [first] = inputs
  const rest = first?.shape.slice(1)
  if (first?.shape[0] === undefined || rest === undefined) throw new RangeError('concat of nothing')
  if (!inputs.every(({ shape }) => shape.length > 0 && sameShape(shape.slice(1), rest))) throw new RangeError('unequal shapes')
  return { op: 'concat', inputs, shape: [inputs.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0), ...rest] }
}

/** A constant added to every value. */
export function add(input: Recipe, value: number): Recipe {
  return { op: 'add', input, value, shape: input.shape }
}

/** Values known beforehand; each is rounded to f32 when it is evaluated. */
export function constant(values: readonly number[], shape: Shape = [values.length]): Recipe {
  if (elementCount(shape) !== values.length) throw new RangeError(`${values.length} values as ${showShape(shape)}`)
  return { op: 'constant', values, shape }
}

function requireBytes({ start, end }: FileRange, bytes: number, type: string): void {
  if (end - start !== bytes) throw new RangeError(`${end - start} bytes where ${bytes} of ${type} are needed`)
}
