import * as v from 'valibot'
import { baseKeys, dimensionsOf } from '../base.js'
import { countOrNone, type Fields, listOf, type ModelConfig, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { float32, text, uint32 } from '../metadata.js'
import { setTokenIds, tokenId } from '../special-token-ids.js'
import { tensor } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'

/** The context that rotations of a scaled base reach. Source: conversion/hunyuan.py, llama.cpp v0.7.0. */
const longContext = 256 * 1024

const headNorms = { qNorm: 'query_layernorm', kNorm: 'key_layernorm' }

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
    decoderTensors(config, {
      attention: {
        headNorm: dimensionsOf(config).headLength,
        names: headNorms,
      },
    }),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: {
    dropsTiedOutput: true,
    adjustTokenizer: (entries, _, config) =>
      setTokenIds(entries, { eos: config.find(countOrNone, 'eod_token_id'), ...listedEnd(entries) }),
  },
}

/** The text model of HunyuanOCR: the same with positions along four axes (XD-RoPE). */
export const hunyuanVl: Family = {
  ...hunyuanDense,
  architecture: 'hunyuan_vl',
  classes: ['HunYuanVLForConditionalGeneration'],
  fields: {
    ...hunyuanDense.fields,
    supported: {
      ...hunyuanDense.fields?.supported,
      'rope.xdrope_section': () => true,
      // Of YaRN, which these have not.
      'rope.mscale': () => true,
    },
    ropeKinds: ['xdrope'],
    ignored: [
      ...(hunyuanDense.fields?.ignored ?? []),
      'im_newline_id',
      'org_vocab_size',
      'pad_id',
      'text_start_id',
      'text_end_id',
    ],
  },
  keys: (config) => [...baseKeys(config.with({ num_experts: undefined, rope_scaling: undefined })), ...axesKeys(config)],
}

/** Hunyuan-A13B: the same with routed experts and one for every token. */
export const hunyuanMoe: Family = {
  architecture: 'hunyuan-moe',
  classes: ['HunYuanMoEV1ForCausalLM'],
  fields: {
    ...hunyuanDense.fields,
    supported: {
      ...hunyuanDense.fields?.supported,
      // What the converter says of contexts holds for this factor alone.
      'rope.alpha': [1000],
      moe_layer_num_skipped: [0],
      moe_drop_tokens: [false],
      use_mixed_mlp_moe: [true],
      use_mla: [false],
    },
    ignored: [
      ...(hunyuanDense.fields?.ignored ?? []),
      'capacity_factor',
      'im_newline_id',
      'moe_random_routing_dropped_token',
      'text_start_id',
      'text_end_id',
    ],
  },
  keys: (config) => [
    ...baseKeys(config),
    ['expert_shared_feed_forward_length', uint32(config.get(size, 'intermediate_size'))],
    ['expert_feed_forward_length', uint32(ofAllLayers(config, 'moe_intermediate_size'))],
    ['expert_used_count', uint32(ofAllLayers(config, 'moe_topk'))],
    ['expert_shared_count', uint32(ofAllLayers(config, 'num_shared_expert'))],
    ...scaledBase(config, 1000),
  ],
  tensors: (config) => {
    const { layers, headLength } = dimensionsOf(config)
    const experts = boundedExperts(config, layers)
    const width = ofAllLayers(config, 'moe_intermediate_size')
    // llama.cpp takes the width of the shared expert from the field of dense layers.
    if (ofAllLayers(config, 'num_shared_expert') !== 1) throw config.unsupported('num_shared_expert is not 1')
    return decoderTensors(config, {
      attention: { headNorm: headLength, names: headNorms },
      feedForward: ({ hidden, feedForward }) => [
        tensor('mlp.gate.wg.weight', 'ffn_gate_inp.weight', [experts, hidden]),
        ...routedExperts('mlp.experts', experts, hidden, width),
        ...gatedFeedForward('mlp.shared_mlp', hidden, feedForward, { bias: false, suffix: '_shexp' }),
      ],
    })
  },
  widths: {
    feedForward: false,
    embedding: 'plain',
    heads: 'free',
    fixed: 'llama.cpp has one width for dense blocks and experts',
  },
  quirks: {
    dropsTiedOutput: true,
    // config.json names another, and the code of its tokenizer this one.
    adjustTokenizer: (entries) => setTokenIds(entries, { bos: tokenId(entries, '<|bos|>'), ...listedEnd(entries) }),
  },
}

/** How positions along several axes turn queries and keys. @throws MqError CONFIG_INVALID where config.json has another kind. */
function axesKeys(config: ModelConfig): Entry[] {
  const { rope } = config
  const sections = config.find(v.looseObject({ xdrope_section: listOf(countOrNone) }), 'rope_scaling')?.xdrope_section
  const { theta, alpha } = rope
  if (rope.kind !== 'xdrope' || sections === undefined || theta === undefined || typeof alpha !== 'number') {
    throw config.unsupported('rope_scaling is not of type xdrope with a base, an alpha and sections')
  }
  const context = config.get(size, 'max_position_embeddings')
  return [
    ['rope.scaling.type', text('none')],
    ['rope.scaling.factor', float32(rope.factor ?? 1)],
    ['rope.scaling.alpha', float32(alpha)],
    ['rope.scaling.original_context_length', uint32(context)],
    ['rope.dimension_sections', { type: 'array', elementType: 'int32', value: [...sections] }],
  ]
}

/** A number that config.json may say of each layer. @throws MqError CONFIG_INVALID where layers differ. */
function ofAllLayers(config: ModelConfig, field: string): number {
  const value = config.get(v.union([size, listOf(size)]), field)
  const [first, ...others] = typeof value === 'number' ? [value] : value
  if (first === undefined || others.some((other) => other !== first))
    throw config.unsupported(`${field} is not the same of all layers`)
  return first
}

/** NTK-aware scaling with a factor `alpha` of its own, worked into the base. @throws MqError CONFIG_INVALID. */
function scaledBase(config: ModelConfig, usualAlpha = 50): Entry[] {
  const { rope } = config
  if (rope.kind !== 'dynamic') return []
  const length = dimensionsOf(config).headLength
  const context = config.get(size, 'max_position_embeddings')
  const base = rope.theta ?? 10_000
  if (base !== 10_000 || ![32 * 1024, longContext].includes(context)) {
    throw config.invalid('rope_scaling of type dynamic is known for a rope_theta of 10000 and a context of 32768 or 262144 alone')
  }
  return [
    ['rope.freq_base', float32(base * (rope.alpha ?? usualAlpha) ** (length / (length - 2)))],
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
