import { type Recipe, reshape, slice, transpose } from '../../recipe/index.js'
import { names } from './base.js'
import { count, type ModelConfig, size } from './config.js'
import { linear, norm, split, type TensorMapping } from './tensor-mappings.js'

/** The numbers of multi-head latent attention (MLA). */
export interface LatentDimensions {
  readonly hidden: number
  readonly heads: number
  readonly latent: number
  /** Of a head: the part that is not rotated, the part that is, and its values. */
  readonly plain: number
  readonly rotated: number
  readonly valueLength: number
  /** Width of the queries' down-projection; undefined where they are projected at once. */
  readonly queryLatent: number | undefined
  readonly keyValueHeads: number
}

/** @throws MqError CONFIG_INVALID. */
export function latentDimensions(config: ModelConfig): LatentDimensions {
  const heads = config.get(count, ...names.heads)
  return {
    hidden: config.get(size, ...names.hidden),
    heads,
    latent: config.get(size, 'kv_lora_rank'),
    plain: config.get(size, 'qk_nope_head_dim'),
    rotated: config.get(size, 'qk_rope_head_dim'),
    valueLength: config.get(size, 'v_head_dim'),
    queryLatent: config.find(size, 'q_lora_rank'),
    keyValueHeads: config.find(count, ...names.keyValueHeads) ?? heads,
  }
}

/** Latent attention with the key and value projections apart, as llama.cpp absorbs them. */
export function latentAttention(dimensions: LatentDimensions, from = 'self_attn'): TensorMapping[] {
  const { hidden, heads, latent, plain, rotated, valueLength, queryLatent, keyValueHeads } = dimensions
  const queries = heads * (plain + rotated)
  // Each head's rows hold its key projection, then its value projection. The first is transposed: llama.cpp applies it to the query.
  const headRows = plain + valueLength
  return [
    ...(queryLatent === undefined
      ? linear(`${from}.q_proj`, 'attn_q', [queries, hidden], { bias: false })
      : [
          ...linear(`${from}.q_a_proj`, 'attn_q_a', [queryLatent, hidden], { bias: false }),
          norm(`${from}.q_a_layernorm`, 'attn_q_a_norm', queryLatent),
          ...linear(`${from}.q_b_proj`, 'attn_q_b', [queries, queryLatent], { bias: false }),
        ]),
    ...linear(`${from}.kv_a_proj_with_mqa`, 'attn_kv_a_mqa', [latent + rotated, hidden], { bias: false }),
    norm(`${from}.kv_a_layernorm`, 'attn_kv_a_norm', latent),
    ...linear(`${from}.o_proj`, 'attn_output', [hidden, heads * valueLength], { bias: false }),
    split(`${from}.kv_b_proj.weight`, [keyValueHeads * headRows, latent], (both: Recipe) => {
      const byHead = reshape(both, [keyValueHeads, headRows, latent])
      return [
        { name: 'attn_k_b.weight', recipe: transpose(slice(byHead, 1, 0, plain)) },
        { name: 'attn_v_b.weight', recipe: slice(byHead, 1, plain, headRows) },
      ]
    }),
  ]
}
