import * as v from 'valibot'

// Bounds that every real model stays far below, so that a wrong config.json cannot ask for unbounded work.

/** Layers, heads and their length, experts, groups. */
export const count = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_536))
/** A number of things of which there may be none. */
export const countOrNone = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_536))
/** Rows and columns of matrices, context lengths, vocabularies. */
export const size = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 31 - 1))
/** A number above 0, such as an epsilon, a base or a factor. */
export const positive = v.pipe(v.number(), v.finite(), v.gtValue(0))
export const finite = v.pipe(v.number(), v.finite())
export const flag = v.boolean()
export const word = v.string()
/** Fields within a field. */
export function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
/** One value for each layer, or other short lists. */
export const listOf = <const Item extends v.GenericSchema>(item: Item) => v.pipe(v.array(item), v.maxLength(65_536))
