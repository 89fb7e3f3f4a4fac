import { countKey, fileTypePlace, floatKey, names } from '../base.js'
import { flag } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { bool, float32, uint32 } from '../metadata.js'
import { setTokenIds, tokenId } from '../special-token-ids.js'
import type { Entry, Family } from '../types.js'
import { fusedFeedForward, glmDefaults, rotatedLength } from './glm4.js'

/** GLM-4 of 2024 in the layout of transformers: half of each head rotated, biases of queries, keys and values. */
export const chatglm: Family = {
  architecture: 'chatglm',
  classes: ['GlmForCausalLM'],
  fields: {
    defaults: glmDefaults,
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
    decoderTensors(config, {
      attention: { bias: config.find(flag, 'attention_bias') === true, outputBias: false },
      feedForward: fusedFeedForward,
    }),
  footprint: { attention: 'grouped' },
  widths: {
    feedForward: true,
    fixed: 'mq does not add heads to a fused QKV projection whose heads llama.cpp takes to be hidden_size wide together',
  },
  quirks: { adjustTokenizer },
}

function adjustTokenizer(entries: readonly Entry[]): readonly Entry[] {
  const end = tokenId(entries, '<|endoftext|>')
  return setTokenIds(entries, { eos: end, eot: tokenId(entries, '<|user|>'), unknown: end }).filter(
    ([key]) => key !== 'tokenizer.ggml.add_bos_token' && key !== 'tokenizer.ggml.bos_token_id',
  )
}
