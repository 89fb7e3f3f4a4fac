import { add, concat, interleaveHalves, type Recipe, reshape, slice } from '../../recipe/index.js'
import type { Dimensions } from './base.js'
import { linear, norm, type TensorMapping } from './tensor-mappings.js'

/** Gemma's norms multiply by 1 + weight; llama.cpp's by the weight. */
export const plusOne = (weight: Recipe): Recipe => add(weight, 1)

/** ggml turns neighbours, transformers turns halves of a head. @param rotated values at the beginning of each head that are turned. */
export const interleaved =
  (heads: number, rotated?: number) =>
  (input: Recipe): Recipe => {
    const length = (input.shape[0] as number) / heads
    if (rotated === undefined || rotated === length) return interleaveHalves(input, heads)
    return byHead(heads, (head) => concat([interleaveHalves(slice(head, 0, 0, rotated), 1), slice(head, 0, rotated, length)]))(
      input,
    )
  }

/** The same change to the rows of each head, or to the values of each head of a bias. */
const byHead =
  (heads: number, change: (head: Recipe) => Recipe) =>
  (input: Recipe): Recipe => {
    const [rows = 0, columns = 1] = input.shape
    const matrix = input.shape.length === 1 ? reshape(input, [rows, columns]) : input
    const length = rows / heads
    const changed = concat(
      Array.from({ length: heads }, (_, head) => change(slice(matrix, 0, head * length, (head + 1) * length))),
    )
    return input.shape.length === 1 ? reshape(changed, [rows]) : changed
  }

export interface GroupedOptions {
  /** Whether the projections have biases, none by default; those of output where they differ. `optional` only where llama.cpp reads them. */
  readonly bias?: boolean | 'optional'
  readonly outputBias?: boolean | 'optional'
  /** Whether rows of queries and keys are put in ggml's order of rotation; a number where only so many values of each head are turned. */
  readonly interleave?: boolean | number
  /** Length of the norms of queries and keys; absent where there are none. */
  readonly headNorm?: number
  readonly keyNorm?: number
  readonly normTransform?: (weight: Recipe) => Recipe
  /** The checkpoint's name of the whole. */
  readonly from?: string
  /** The checkpoint's names of its parts. */
  readonly names?: Partial<typeof attentionNames>
}

const attentionNames = { q: 'q_proj', k: 'k_proj', v: 'v_proj', o: 'o_proj', qNorm: 'q_norm', kNorm: 'k_norm' }

/** Attention whose key and value heads are shared by groups of query heads (MHA, GQA, MQA), a matrix for each projection. */
export function groupedAttention(
  { hidden, heads, keyValueHeads, headLength }: Pick<Dimensions, 'hidden' | 'heads' | 'keyValueHeads' | 'headLength'>,
  options: GroupedOptions = {},
): TensorMapping[] {
  const {
    bias = false,
    outputBias = bias,
    interleave = false,
    headNorm,
    keyNorm = headNorm,
    normTransform,
    from = 'self_attn',
  } = options
  const { q, k, v, o, qNorm, kNorm } = { ...attentionNames, ...options.names }
  const queries = heads * headLength
  const keys = keyValueHeads * headLength
  const turned = (count: number) =>
    interleave === false ? {} : { transform: interleaved(count, interleave === true ? undefined : interleave) }
  const normed = normTransform === undefined ? {} : { transform: normTransform }
  return [
    ...linear(`${from}.${q}`, 'attn_q', [queries, hidden], { bias, ...turned(heads) }),
    ...linear(`${from}.${k}`, 'attn_k', [keys, hidden], { bias, ...turned(keyValueHeads) }),
    ...linear(`${from}.${v}`, 'attn_v', [keys, hidden], { bias }),
    ...linear(`${from}.${o}`, 'attn_output', [hidden, queries], { bias: outputBias }),
    ...(headNorm === undefined || keyNorm === undefined
      ? []
      : [norm(`${from}.${qNorm}`, 'attn_q_norm', headNorm, normed), norm(`${from}.${kNorm}`, 'attn_k_norm', keyNorm, normed)]),
  ]
}
