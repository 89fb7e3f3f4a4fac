import { baseKeys, dimensionsOf } from '../base.js'
import type { ModelConfig } from '../config.js'
import { decoderRows } from '../decoder.js'
import { uint32 } from '../metadata.js'
import { rotatedPart } from '../rope.js'
import { linear, norm } from '../rows.js'
import { setTokenIds, tokenId } from '../special-token-ids.js'
import type { Entry, Family } from '../types.js'

/** GLM-4 of 2025 (0414, Z1): norms before and after each part, half of each head rotated. */
export const glm4: Family = {
  architecture: 'glm4',
  classes: ['Glm4ForCausalLM'],
  fields: {
    defaults: {
      head_dim: 128,
      max_position_embeddings: 131_072,
      num_key_value_heads: 2,
      partial_rotary_factor: 0.5,
      rms_norm_eps: 1.5625e-7,
      rope_theta: 10_000,
      tie_word_embeddings: false,
    },
    supported: { attention_bias: [true, false] },
  },
  keys: (config) => [...baseKeys(config), ['rope.dimension_count', uint32(rotatedLength(config))]],
  tensors: (config) =>
    decoderRows(config, {
      norms: ({ hidden }) => [
        norm('input_layernorm', 'attn_norm', hidden),
        norm('post_self_attn_layernorm', 'post_attention_norm', hidden),
        norm('post_attention_layernorm', 'ffn_norm', hidden),
        norm('post_mlp_layernorm', 'post_ffw_norm', hidden),
      ],
      attention: { outputBias: false },
      feedForward: ({ hidden, feedForward }) => [
        ...linear('mlp.gate_up_proj', 'ffn_up', [2 * feedForward, hidden], { bias: false }),
        ...linear('mlp.down_proj', 'ffn_down', [hidden, feedForward], { bias: false }),
      ],
    }),
  footprint: { attention: 'grouped' },
  quirks: { adjustTokenizer },
}

/** Values of each head that are rotated. */
export function rotatedLength(config: ModelConfig): number {
  return Math.trunc(dimensionsOf(config).headLength * (rotatedPart(config) ?? 0.5))
}

function adjustTokenizer(entries: readonly Entry[]): readonly Entry[] {
  const end = tokenId(entries, '<|endoftext|>')
  return setTokenIds(entries, { eos: end, eot: tokenId(entries, '<|user|>'), unknown: end, bos: end })
}
