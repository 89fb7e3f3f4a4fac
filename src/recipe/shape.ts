import type { Shape } from './recipe.js'

/** Number of values of a shape; 1 for a scalar. */
export function elementCount(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1)
}

/** Values of all tensors together. */
export function parameterCount(tensors: readonly { readonly shape: Shape }[]): number {
  return tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0)
}

/** Values in a row: the last dimension; 1 for a scalar. */
export function rowLength({ shape }: { readonly shape: Shape }): number {
  return shape.at(-1) ?? 1
}

/** Rows: the product of all dimensions but the last; 1 for a vector or a scalar. */
export function rowCount({ shape }: { readonly shape: Shape }): number {
  return elementCount(shape.slice(0, -1))
}

/** Whether two shapes are the same. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis])
}

/** A shape for a message: `[2, 3]`. */
export function showShape(shape: Shape): string {
  return `[${shape.join(', ')}]`
}
