import { ggmlBytes } from '../../formats/ggml/types.js'
import type { ModelShape } from './model-shape.js'

/** Types that the KV cache may have; those but F16 need flash attention for the values. */
export const cacheTypes = ['F16', 'Q8_0', 'Q4_0'] as const

/** Type of the KV cache. */
export type CacheType = (typeof cacheTypes)[number]

/** llama.cpp rounds the context up to whole steps of this many tokens. */
const contextStep = 256

/** The context that llama.cpp makes where one of `tokens` is asked for. */
export function paddedContext(tokens: number): number {
  return Math.ceil(tokens / contextStep) * contextStep
}

/**
 * Bytes of the KV cache: in each layer, for each token, keys and values of every key-value head; of latent attention one latent vector
 * with its rotated part, of which the values are a part. Source: src/llama-kv-cache.cpp, llama.cpp v0.5.0.
 */
export function kvCacheBytes({ layers, attention }: ModelShape, context: number, type: CacheType): number {
  const rows =
    attention.kind === 'latent'
      ? [attention.latent + attention.rotated]
      : [attention.keyValueHeads * attention.keyLength, attention.keyValueHeads * attention.valueLength]
  return layers * rows.reduce((sum, length) => sum + ggmlBytes(type, length * context), 0)
}
