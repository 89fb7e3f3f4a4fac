import { concat, type Recipe, reshape, slice } from '../../recipe/index.js'

/**
 * Splits rows that hold, for each group of heads, its queries, then a key, then a value, into all queries, all keys and all values.
 * @param input [groups * (queries + 2) * headLength, columns], or a bias of so many values.
 */
export function splitGroups(
  input: Recipe,
  { groups, queries, headLength }: { readonly groups: number; readonly queries: number; readonly headLength: number },
): readonly [queries: Recipe, keys: Recipe, values: Recipe] {
  const columns = input.shape.slice(1)
  const grouped = reshape(input, [groups, (queries + 2) * headLength, ...(columns.length === 0 ? [1] : columns)])
  const part = (start: number, count: number): Recipe =>
    reshape(slice(grouped, 1, start * headLength, (start + count) * headLength), [groups * count * headLength, ...columns])
  return [part(0, queries), part(queries, 1), part(queries + 1, 1)]
}

/** The same rows in the order queries, keys, values, as llama.cpp reads a fused matrix. */
export function regroup(
  input: Recipe,
  dimensions: { readonly groups: number; readonly queries: number; readonly headLength: number },
): Recipe {
  return concat(splitGroups(input, dimensions))
}
