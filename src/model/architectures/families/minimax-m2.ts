import { baseKeys, countKey, dimensionsOf } from '../base.js'
import { count, type ModelConfig } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, routedExperts } from '../feed-forward.js'
import { uint32 } from '../metadata.js'
import { rotatedPart } from '../rope.js'
import { tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** MiniMax M2: norms of all queries and all keys together, experts chosen with a correction bias, a part of each head rotated. */
export const minimaxM2: Family = {
  architecture: 'minimax-m2',
  classes: ['MiniMaxM2ForCausalLM'],
  fields: {
    // Source: MiniMaxM2Config of transformers.
    defaults: { head_dim: 128, num_local_experts: 256, rope_theta: 5e6, tie_word_embeddings: false },
    supported: {
      use_qk_norm: [true],
      qk_norm_type: ['per_layer'],
      use_routing_bias: [true],
      scoring_func: ['sigmoid'],
      shared_intermediate_size: [0],
      attn_type_list: (value) => Array.isArray(value) && value.every((kind) => kind === 1),
    },
    ignored: ['use_mtp', 'mtp_transformer_layers', 'num_mtp_modules'],
  },
  keys: (config) => [
    ...baseKeys(config),
    ...countKey(config, 'expert_feed_forward_length', 'intermediate_size'),
    ['rope.dimension_count', uint32(rotatedLength(config))],
  ],
  tensors: (config) => {
    const { layers, heads, keyValueHeads, headLength } = dimensionsOf(config)
    const experts = boundedExperts(config, layers)
    return decoderTensors(config, {
      attention: { bias: false, headNorm: heads * headLength, keyNorm: keyValueHeads * headLength },
      feedForward: ({ hidden, feedForward }) => [
        tensor('block_sparse_moe.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
        tensor('block_sparse_moe.e_score_correction_bias', 'exp_probs_b.bias', [experts]),
        ...routedExperts('block_sparse_moe.experts', experts, hidden, feedForward, {
          names: ['w1', 'w3', 'w2'],
          order: ['gate', 'down', 'up'],
        }),
      ],
    })
  },
  footprint: { attention: 'grouped', normalizedExperts: true },
  // llama.cpp takes the width of experts for that of dense blocks, of which there are none.
  widths: { feedForward: false, embedding: 'plain' },
  // transformers 5 has the other name, and keeps it with save_original_format=False.
  quirks: {
    needsOutput: true,
    preNames: { 'gpt-4o': 'minimax-m2' },
    rename: (name) => name.replace('.mlp.', '.block_sparse_moe.'),
  },
}

/** Of each head. @throws MqError CONFIG_INVALID. */
function rotatedLength(config: ModelConfig): number {
  const named = config.find(count, 'rotary_dim')
  const part = rotatedPart(config)
  const length = Math.trunc(dimensionsOf(config).headLength * (part ?? 1))
  if (named !== undefined && part !== undefined && named !== length) {
    throw config.invalid(`rotary_dim is ${named}, where partial_rotary_factor makes it ${length}`)
  }
  return named ?? length
}
