import { slice } from '../../../recipe/index.js'
import { countKey, type Dimensions, dimensionsOf } from '../base.js'
import { finite, type ModelConfig, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts } from '../feed-forward.js'
import { llamaKeys } from '../llama.js'
import { float32 } from '../metadata.js'
import { ropeFrequencies } from '../rope.js'
import { split, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family, FieldTable } from '../types.js'
import { adjustTokenizer } from './llama.js'

/** Source: the Config classes of transformers. */
export const fields: FieldTable = {
  defaults: {
    attention_multiplier: 1,
    embedding_multiplier: 1,
    logits_scaling: 1,
    max_position_embeddings: 2048,
    residual_multiplier: 1,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    tie_word_embeddings: false,
  },
  // llama.cpp has no other length of heads for these.
  supported: {
    head_dim: (value, { fields }) => value === Number(fields['hidden_size']) / Number(fields['num_attention_heads']),
  },
  ropeKinds: ['llama3'],
}

const quirks: Family['quirks'] = {
  computed: (config) => ropeFrequencies(config, dimensionsOf(config).headLength),
  adjustTokenizer,
}

/** Granite 3: a Llama with multipliers of embedding, attention, residual stream and logits. */
export const granite: Family = {
  architecture: 'granite',
  classes: ['GraniteForCausalLM'],
  fields,
  keys: graniteKeys,
  tensors: (config) => decoderTensors(config, { attention: { interleave: true } }),
  footprint: { attention: 'grouped' },
  quirks,
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
}

/** Granite 3 with routed experts, whose gate and up-projection are one tensor; some have an expert for every token, too. */
export const graniteMoe: Family = {
  architecture: 'granitemoe',
  classes: ['GraniteMoeForCausalLM', 'GraniteMoeSharedForCausalLM'],
  fields: { ...fields, defaults: { ...fields.defaults, num_local_experts: 8, num_experts_per_tok: 2 } },
  keys: (config) => [
    ...graniteKeys(config),
    ...countKey(config, 'expert_shared_feed_forward_length', 'shared_intermediate_size'),
  ],
  tensors: (config) => {
    const experts = boundedLayers(config)
    const shared = config.find(size, 'shared_intermediate_size')
    return decoderTensors(config, {
      attention: { interleave: true },
      feedForward: (dimensions) => [
        ...expertTensors(experts, dimensions),
        ...(shared === undefined ? [] : sharedTensors(shared, dimensions.hidden)),
      ],
    })
  },
  footprint: { attention: 'grouped', normalizedExperts: true },
  quirks: { ...quirks, rename: storedExpertName },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
}

export function graniteKeys(config: ModelConfig): Entry[] {
  // llama.cpp's converter leaves a multiplier of 0 out.
  const scale = (key: string, field: string): Entry[] => {
    const value = config.find(finite, field)
    return value === undefined || value === 0 ? [] : [[key, float32(value)]]
  }
  return [
    ...llamaKeys(config.with({ head_dim: undefined })),
    ...scale('attention.scale', 'attention_multiplier'),
    ...scale('embedding_scale', 'embedding_multiplier'),
    ...scale('residual_scale', 'residual_multiplier'),
    ...scale('logit_scale', 'logits_scaling'),
  ]
}

/** All experts of a layer are in two tensors: there is an entry for each layer alone. */
function boundedLayers(config: ModelConfig): number {
  return boundedExperts(config, 0)
}

export function expertTensors(experts: number, { hidden, feedForward: width }: Dimensions): TensorMapping[] {
  return [
    tensor('block_sparse_moe.router.layer.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    split('block_sparse_moe.input_linear.weight', [experts, 2 * width, hidden], (both) => [
      { name: 'ffn_gate_exps.weight', recipe: slice(both, 1, 0, width) },
      { name: 'ffn_up_exps.weight', recipe: slice(both, 1, width, 2 * width) },
    ]),
    tensor('block_sparse_moe.output_linear.weight', 'ffn_down_exps.weight', [experts, hidden, width]),
  ]
}

/** @param suffix of the output's names: none where there are no other experts. */
export function sharedTensors(width: number, hidden: number, suffix = '_shexp'): TensorMapping[] {
  return [
    split('shared_mlp.input_linear.weight', [2 * width, hidden], (both) => [
      { name: `ffn_gate${suffix}.weight`, recipe: slice(both, 0, 0, width) },
      { name: `ffn_up${suffix}.weight`, recipe: slice(both, 0, width, 2 * width) },
    ]),
    tensor('shared_mlp.output_linear.weight', `ffn_down${suffix}.weight`, [hidden, width]),
  ]
}

/** transformers 5 has other names for the experts and what chooses them, and keeps them with save_original_format=False. */
export function storedExpertName(name: string): string {
  return name
    .replace('.block_sparse_moe.experts.gate_up_proj', '.block_sparse_moe.input_linear.weight')
    .replace('.block_sparse_moe.experts.down_proj', '.block_sparse_moe.output_linear.weight')
    .replace('.block_sparse_moe.router.weight', '.block_sparse_moe.router.layer.weight')
}
