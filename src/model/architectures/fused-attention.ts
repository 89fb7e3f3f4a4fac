import { concat, type Recipe, reshape, slice } from '../../recipe/index.js'
import { interleaved } from './attention.js'
import type { Dimensions } from './base.js'
import { split, type TensorMapping, tensor } from './tensor-mappings.js'

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

/**
 * Attention without biases whose queries, keys and values are one matrix of the checkpoint, in this order, and three of the file.
 * @param names of the checkpoint's matrices. @param interleave whether rows of queries and keys are put in ggml's order of rotation.
 */
export function splitAttention(
  { hidden, heads, keyValueHeads, headLength }: Pick<Dimensions, 'hidden' | 'heads' | 'keyValueHeads' | 'headLength'>,
  names: { readonly input: string; readonly output: string },
  interleave = false,
): TensorMapping[] {
  const [queries, keys] = [heads * headLength, keyValueHeads * headLength]
  const turned = (rows: Recipe, count: number): Recipe => (interleave ? interleaved(count)(rows) : rows)
  return [
    split(`${names.input}.weight`, [queries + 2 * keys, hidden], (all) => [
      { name: 'attn_q.weight', recipe: turned(slice(all, 0, 0, queries), heads) },
      { name: 'attn_k.weight', recipe: turned(slice(all, 0, queries, queries + keys), keyValueHeads) },
      { name: 'attn_v.weight', recipe: slice(all, 0, queries + keys, queries + 2 * keys) },
    ]),
    tensor(`${names.output}.weight`, 'attn_output.weight', [hidden, queries]),
  ]
}
