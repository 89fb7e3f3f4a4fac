import * as v from 'valibot'
import type { MetadataValue } from '../../../formats/gguf/types.js'
import { count, countOrNone, finite, listOf, type ModelConfig, size } from './config.js'
import { bool, float32, uint32 } from './metadata.js'
import { ropeKeys } from './rope.js'
import type { Entry } from './types.js'

/** Spellings of the fields that all architectures share. Source: conversion/base.py, llama.cpp v0.7.0. */
export const names = {
  layers: ['n_layers', 'num_hidden_layers', 'n_layer', 'num_layers'],
  context: ['max_position_embeddings', 'n_ctx', 'n_positions', 'max_length', 'max_sequence_length', 'model_max_length'],
  hidden: ['hidden_size', 'n_embd', 'dim'],
  feedForward: ['prefix_dense_intermediate_size', 'dense_intermediate_size', 'intermediate_size', 'n_inner', 'hidden_dim'],
  heads: ['num_attention_heads', 'n_head', 'n_heads'],
  keyValueHeads: ['num_key_value_heads', 'n_kv_heads'],
  rmsNormEpsilon: ['rms_norm_eps', 'norm_eps'],
  layerNormEpsilon: ['layer_norm_eps', 'layer_norm_epsilon', 'norm_epsilon'],
  experts: ['num_local_experts', 'num_experts', 'n_routed_experts'],
  expertsUsed: ['num_experts_per_tok', 'num_experts_per_token', 'top_k_experts'],
  gating: [
    'score_function',
    'scoring_func',
    'score_func',
    'moe_router_activation',
    'moe_router_activation_func',
    'expert_selection_fn',
    'router_score_func',
  ],
} as const

/** ggml's numbers of what turns router scores into weights (enum llama_expert_gating_func_type). */
export const gatingFunctions = { softmax: 1, sigmoid: 2, sqrtsoftplus: 4 } as const

const epsilon = v.pipe(v.number(), v.finite(), v.minValue(0))

/** A number for all layers or one for each. */
const perLayer = v.union([size, countOrNone, listOf(countOrNone)])

/** The place of general.file_type, whose value the plan writes. */
export const fileTypePlace: Entry = ['general.file_type', uint32(0)]

/**
 * The common keys, without the `{arch}.` prefix, in the order in which llama.cpp's converter writes them; a field that is not there
 * writes no key. Source: TextModel.set_gguf_parameters of conversion/base.py, llama.cpp v0.7.0.
 * @throws MqError CONFIG_INVALID.
 */
export function baseKeys(config: ModelConfig): Entry[] {
  checkExperts(config)
  const gating = config.find(v.picklist(Object.keys(gatingFunctions) as (keyof typeof gatingFunctions)[]), ...names.gating)
  return [
    ['block_count', uint32(config.get(count, ...names.layers))],
    ...present('context_length', config.find(size, ...names.context), uint32),
    ...present('embedding_length', config.find(size, ...names.hidden), uint32),
    ...present('feed_forward_length', config.find(perLayer, ...names.feedForward), counts),
    ...present('attention.head_count', config.find(perLayer, ...names.heads), counts),
    ...present('attention.head_count_kv', config.find(perLayer, ...names.keyValueHeads), counts),
    ...(config.find(v.boolean(), 'is_causal') === false ? [['attention.causal', bool(false)] as const] : []),
    ...ropeKeys(config),
    ...present('attention.layer_norm_rms_epsilon', config.find(epsilon, ...names.rmsNormEpsilon), float32),
    ...present('attention.layer_norm_epsilon', config.find(epsilon, ...names.layerNormEpsilon), float32),
    ...present('expert_count', config.find(countOrNone, ...names.experts), uint32),
    ...present('expert_used_count', config.find(countOrNone, ...names.expertsUsed), uint32),
    ...present('expert_group_count', config.find(count, 'n_group'), uint32),
    ...present('expert_group_used_count', config.find(count, 'topk_group'), uint32),
    ...present('expert_gating_func', gating, (name) => uint32(gatingFunctions[name])),
    ...present('attention.key_length', config.find(count, 'head_dim'), uint32),
    ...present('attention.value_length', config.find(count, 'head_dim'), uint32),
    fileTypePlace,
  ]
}

/** Counts that llama.cpp ends at, once it runs the model. @throws MqError CONFIG_INVALID. */
function checkExperts(config: ModelConfig): void {
  const experts = config.find(countOrNone, ...names.experts) ?? 0
  const used = config.find(countOrNone, ...names.expertsUsed) ?? 0
  if (experts > 0 && used > experts) throw config.invalid(`each token uses ${used} experts, and there are ${experts}`)
  const groups = config.find(count, 'n_group') ?? 1
  const groupsUsed = config.find(count, 'topk_group') ?? 1
  if (experts > 0 && (experts % groups !== 0 || groupsUsed > groups)) {
    throw config.invalid(`${experts} experts cannot be chosen from ${groupsUsed} of ${groups} groups`)
  }
}

/** A key whose value is there; none where it is not. */
export function present<T>(key: string, value: T | null | undefined, make: (value: T) => MetadataValue): Entry[] {
  return value === undefined || value === null ? [] : [[key, make(value)]]
}

/** One number, or an array with one for each layer. */
export function counts(value: number | readonly number[]): MetadataValue {
  return typeof value === 'number' ? uint32(value) : { type: 'array', elementType: 'int32', value: [...value] }
}

/** A key whose field is a number of things. */
export function countKey(config: ModelConfig, key: string, ...fields: readonly string[]): Entry[] {
  return present(key, config.find(v.union([size, countOrNone]), ...fields), uint32)
}

/** A key whose field is a finite number. */
export function floatKey(config: ModelConfig, key: string, ...fields: readonly string[]): Entry[] {
  return present(key, config.find(finite, ...fields), float32)
}

/** A key whose field is a flag. */
export function flagKey(config: ModelConfig, key: string, ...fields: readonly string[]): Entry[] {
  return present(key, config.find(v.boolean(), ...fields), bool)
}

/** The numbers that most tensors' shapes follow from. */
export interface Dimensions {
  readonly layers: number
  readonly vocabulary: number
  readonly hidden: number
  readonly feedForward: number
  readonly heads: number
  readonly keyValueHeads: number
  readonly headLength: number
}

/** Dimensions of a model whose layers are all alike. @throws MqError CONFIG_INVALID. */
export function dimensionsOf(config: ModelConfig): Dimensions {
  const heads = config.get(count, ...names.heads)
  const hidden = config.get(size, ...names.hidden)
  return {
    layers: config.get(count, ...names.layers),
    vocabulary: config.get(size, 'vocab_size'),
    hidden,
    feedForward: config.get(size, ...names.feedForward),
    heads,
    keyValueHeads: config.find(count, ...names.keyValueHeads) ?? heads,
    headLength: config.find(count, 'head_dim') ?? Math.floor(hidden / heads),
  }
}
