/** The alignment of a file that does not name one. */
export const defaultAlignment = 32

/** Whether a number is a power of two that fits 32 bits. */
export function isAlignment(value: number): boolean {
  return value >= 1 && value < 2 ** 32 && Number.isInteger(Math.log2(value))
}

/** Product of the dimensions; 1 for none. */
export function tensorElements(dimensions: readonly number[]): number {
  return dimensions.reduce((product, dimension) => product * dimension, 1)
}
