import { constant, elementCount, lookup, type Recipe, reshape, type Shape, unpack } from '../../../recipe/index.js'
import type { StoredTensors } from './types.js'

/** JSON, in which recipes travel, has no -0: the smallest number becomes one in f32. */
const negativeZero = -Number.MIN_VALUE

/** Values of E2M1 by code. Source: OCP Microscaling Formats 1.0, section 5.3.3. */
const magnitudes = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
const e2m1 = [...magnitudes, ...magnitudes.map((value) => -value || negativeZero)]

/** The values of 4-bit floats, two in a byte, the lower half first. @param shape with twice as many columns as the tensor has bytes. */
export function fourBitFloats(stored: StoredTensors, name: string, shape: Shape): Recipe {
  const columns = shape.at(-1) ?? 1
  const rows = elementCount(shape.slice(0, -1))
  const codes = unpack(stored.packed(name), { bits: 4, along: 1, packed: [rows, columns / 2], values: [rows, columns] })
  return reshape(lookup(codes, constant(e2m1)), shape)
}
