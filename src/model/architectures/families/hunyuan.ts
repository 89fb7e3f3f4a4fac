import { baseKeys, dimensionsOf } from '../base.js'
import { countOrNone, type Fields, type ModelConfig, size } from '../config.js'
import { decoderRows } from '../decoder.js'
import { float32, text, uint32 } from '../metadata.js'
import { setTokenIds } from '../special-token-ids.js'
import type { Entry, Family } from '../types.js'

/** The context that rotations of a scaled base reach. Source: conversion/hunyuan.py, llama.cpp v0.7.0. */
const longContext = 256 * 1024

/** Hunyuan, dense (0.5B to 7B): norms of each head's queries and keys after rotation, rotations of a scaled base. */
export const hunyuanDense: Family = {
  architecture: 'hunyuan-dense',
  classes: ['HunYuanDenseV1ForCausalLM'],
  fields: {
    defaults: { max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 10_000, tie_word_embeddings: false },
    derived: ({ num_attention_heads: heads, hidden_size: hidden }: Fields): Fields => ({
      num_key_value_heads: heads,
      head_dim: Math.floor(Number(hidden) / Number(heads)),
    }),
    supported: { norm_type: ['rms'], use_cla: [false], use_qk_norm: [true], 'rope.alpha': () => true },
    ignored: ['attention_head_dim', 'cla_share_factor', 'num_experts', 'sep_token_id', 'im_start_id', 'im_end_id'],
  },
  keys: (config) => [...baseKeys(config.with({ num_experts: undefined })), ...scaledBase(config)],
  tensors: (config) =>
    decoderRows(config, {
      attention: {
        headNorm: dimensionsOf(config).headLength,
        names: { qNorm: 'query_layernorm', kNorm: 'key_layernorm' },
      },
    }),
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: {
    dropsTiedOutput: true,
    adjustTokenizer: (entries, _, config) =>
      setTokenIds(entries, { eos: config.find(countOrNone, 'eod_token_id'), ...listedEnd(entries) }),
  },
}

/** NTK-aware scaling with a factor `alpha` of its own, worked into the base. @throws MqError CONFIG_INVALID. */
function scaledBase(config: ModelConfig): Entry[] {
  const { rope } = config
  if (rope.kind !== 'dynamic') return []
  const length = dimensionsOf(config).headLength
  const context = config.get(size, 'max_position_embeddings')
  const base = rope.theta ?? 10_000
  if (base !== 10_000 || ![32 * 1024, longContext].includes(context)) {
    throw config.invalid('rope_scaling of type dynamic is known for a rope_theta of 10000 and a context of 32768 or 262144 alone')
  }
  return [
    ['rope.freq_base', float32(base * (rope.alpha ?? 50) ** (length / (length - 2)))],
    ['rope.scaling.type', text('none')],
    ['rope.scaling.factor', float32(1)],
    ['rope.scaling.original_context_length', uint32(longContext)],
    ['context_length', uint32(longContext)],
  ]
}

/** Keeps an end of a turn that generation_config.json lists. */
function listedEnd(entries: readonly Entry[]): Readonly<Record<string, number>> {
  const found = entries.find(([key]) => key === 'tokenizer.ggml.eot_token_id')?.[1].value
  return typeof found === 'number' ? { eot: found } : {}
}
