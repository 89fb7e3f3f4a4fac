import { baseKeys, dimensionsOf } from './base.js'
import { type Fields, type ModelConfig, size } from './config.js'
import { uint32 } from './metadata.js'
import type { Entry } from './types.js'

// What Llama shares with those that llama.cpp's converter derives from it.

/** Source: LlamaConfig of transformers. */
export const llamaDefaults = {
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  tie_word_embeddings: false,
}

/** What transformers works out where config.json leaves it open or says null. */
export function headLength({ hidden_size: hidden, num_attention_heads: heads }: Fields): Fields {
  return {
    num_key_value_heads: heads,
    ...(typeof hidden === 'number' && typeof heads === 'number' && heads > 0 && { head_dim: Math.floor(hidden / heads) }),
  }
}

/** The common keys, then the vocabulary's size and the length of what is rotated. */
export function llamaKeys(config: ModelConfig): Entry[] {
  return [
    ...baseKeys(config),
    ['vocab_size', uint32(config.get(size, 'vocab_size'))],
    ['rope.dimension_count', uint32(dimensionsOf(config).headLength)],
  ]
}
