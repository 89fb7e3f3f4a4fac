import { countKey, fileTypePlace, floatKey, names } from '../base.js'
import { decoderRows } from '../decoder.js'
import { bool, float32, uint32 } from '../metadata.js'
import { linear } from '../rows.js'
import { setTokenIds, tokenId } from '../special-token-ids.js'
import type { Entry, Family } from '../types.js'
import { rotatedLength } from './glm4.js'

/** GLM-4 of 2024 in the layout of transformers: half of each head rotated, biases of queries, keys and values. */
export const chatglm: Family = {
  architecture: 'chatglm',
  classes: ['GlmForCausalLM'],
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
    supported: {
      attention_bias: [true, false],
      head_dim: (value, { fields }) => value === Number(fields['hidden_size']) / Number(fields['num_attention_heads']),
    },
  },
  // llama.cpp's converter takes the width for the context, and an epsilon of its own for that of config.json.
  keys: (config) => [
    ...countKey(config, 'context_length', ...names.context),
    ...countKey(config, 'embedding_length', ...names.hidden),
    ...countKey(config, 'feed_forward_length', 'intermediate_size'),
    ...countKey(config, 'block_count', ...names.layers),
    ...countKey(config, 'attention.head_count', ...names.heads),
    ...countKey(config, 'attention.head_count_kv', ...names.keyValueHeads),
    ...floatKey(config, 'attention.layer_norm_rms_epsilon', 'rms_norm_eps'),
    fileTypePlace,
    ['rope.dimension_count', uint32(rotatedLength(config))],
    ['tokenizer.ggml.add_bos_token', bool(false)],
    ['rope.freq_base', float32(config.rope.theta ?? 10_000)],
  ],
  tensors: (config) =>
    decoderRows(config, {
      attention: { outputBias: false },
      feedForward: ({ hidden, feedForward }) => [
        ...linear('mlp.gate_up_proj', 'ffn_up', [2 * feedForward, hidden], { bias: false }),
        ...linear('mlp.down_proj', 'ffn_down', [hidden, feedForward], { bias: false }),
      ],
    }),
  quirks: { adjustTokenizer },
}

function adjustTokenizer(entries: readonly Entry[]): readonly Entry[] {
  const end = tokenId(entries, '<|endoftext|>')
  return setTokenIds(entries, { eos: end, eot: tokenId(entries, '<|user|>'), unknown: end }).filter(
    ([key]) => key !== 'tokenizer.ggml.add_bos_token' && key !== 'tokenizer.ggml.bos_token_id',
  )
}
