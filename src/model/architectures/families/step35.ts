import * as v from 'valibot'
import { constant } from '../../../recipe/index.js'
import { groupedAttention, plusOne } from '../attention.js'
import { baseKeys, countKey, counts, dimensionsOf, flagKey, floatKey } from '../base.js'
import { count, type Fields, finite, listOf, type ModelConfig, size, word } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { gatedFeedForward } from '../feed-forward.js'
import { float32, uint32 } from '../metadata.js'
import { countedPredictions, predictionCount, predictionLayers, predictionTensors } from '../mtp.js'
import { blocks, linear, norm, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family, NamedTensor } from '../types.js'
import { windowFlags } from '../windows.js'

/** Layers with a sliding window have heads of their own. */
const windowed = v.looseObject({
  attention_type: v.optional(v.literal('sliding_attention')),
  num_attention_heads: v.optional(count),
  num_attention_groups: v.optional(count),
})

/**
 * Step 3.5 and 3.7: a window in most layers, which have more heads and turn them wholly where the others turn one half; a gate for each head;
 * experts stacked in the checkpoint, whose activations are clamped in the last layers; layers that predict further tokens.
 */
export const step35: Family = {
  architecture: 'step35',
  classes: ['Step3p5ForCausalLM', 'Step3p7ForConditionalGeneration'],
  fields: {
    respelled: ({ rope_theta: theta }) =>
      Array.isArray(theta) ? { rope_theta: theta[0], local_rope_theta: theta[1] ?? theta[0] } : {},
    ropeKinds: ['llama3'],
    supported: {
      att_impl_type: ['GQA'],
      moe_every_n_layer: [1],
      moe_layer_offset: [0],
      moe_layers_enum: contiguous,
      moe_router_activation: ['sigmoid'],
      partial_rotary_factors: (value, config) => sameForKind(value, config, 0.5, 1),
      sink: [false],
      use_head_wise_attn_gate: [true],
      use_mfa: [false],
      use_moe: [true],
      use_moe_router_bias: [true],
      use_rope_layers: (value) => Array.isArray(value) && value.every((turned) => Boolean(turned)),
      // llama.cpp divides the frequencies of layers without a window alone.
      yarn_only_types: (value) => Array.isArray(value) && value.length === 1 && value[0] === 'full_attention',
      zero_centered: [true],
    },
    ignored: ['max_seq_len', 'need_fp32_gate', 'use_qk_norm', 'understand_projector_stride', 'projector_bias'],
  },
  keys: keysOf,
  tensors: (config) => {
    const { layers, vocabulary, hidden, feedForward, headLength } = dimensionsOf(config)
    const experts = expertLayers(config)
    return [
      ...embeddingAndOutputTensors(config, { vocabulary, hidden }, { normTransform: { transform: plusOne } }),
      ...blocks('model.layers', layersOf(config), (layer) => {
        const { heads, groups } = headsOf(config, layer)
        return [
          norm('input_layernorm', 'attn_norm', hidden, { transform: plusOne }),
          norm('post_attention_layernorm', 'ffn_norm', hidden, { transform: plusOne }),
          ...groupedAttention(
            { hidden, heads, keyValueHeads: groups, headLength },
            { headNorm: headLength, normTransform: plusOne },
          ),
          ...linear('self_attn.g_proj', 'attn_gate', [heads, hidden], { bias: false }),
          ...(experts.includes(layer) ? expertTensors(config, hidden) : gatedFeedForward('mlp', hidden, feedForward)),
          ...(layer < layers ? [] : predictionTensors(hidden, vocabulary).map(shiftedNorm)),
        ]
      }),
    ]
  },
  widths: { feedForward: true, embedding: 'plain' },
  roles: { attn_gate: 'attention-qkv' },
  quirks: {
    layers: layersOf,
    separableMtp: true,
    rename: (name) => name.replace('.transformer.', '.').replace('.shared_head.output.', '.shared_head.head.'),
    computed: frequencyFactors,
  },
}

function keysOf(config: ModelConfig): Entry[] {
  const all = layersOf(config)
  const heads = Array.from({ length: all }, (_, layer) => headsOf(config, layer))
  const [first = all] = expertLayers(config)
  checkRopeTheta(config)
  return [
    ...baseKeys(config.with({ num_hidden_layers: all })),
    ['attention.head_count', counts(heads.map((layer) => layer.heads))],
    ['attention.head_count_kv', counts(heads.map((layer) => layer.groups))],
    ...countKey(config, 'attention.sliding_window', 'sliding_window'),
    windowFlags(heads.map(({ hasWindow }) => hasWindow)),
    ...countKey(config, 'expert_count', 'moe_num_experts'),
    ...countKey(config, 'expert_used_count', 'moe_top_k'),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...countKey(config, 'expert_shared_feed_forward_length', 'share_expert_dim'),
    ...floatKey(config, 'expert_weights_scale', 'moe_router_scaling_factor'),
    ...flagKey(config, 'expert_weights_norm', 'norm_expert_weight'),
    ['leading_dense_block_count', uint32(first)],
    ['moe_every_n_layers', uint32(1)],
    ['attention.layer_norm_rms_epsilon', float32(config.find(finite, 'rms_norm_eps') ?? 1e-5)],
    ...clampKey(config, 'swiglu_clamp_exp', 'swiglu_limits'),
    ...clampKey(config, 'swiglu_clamp_shexp', 'swiglu_limits_shared'),
    ...predictionCount(config),
  ]
}

/** Those that predict further tokens stand behind the others. */
function layersOf(config: ModelConfig): number {
  return config.get(count, 'num_hidden_layers') + predictionLayers(config, countedPredictions(config))
}

function headsOf(config: ModelConfig, layer: number): { heads: number; groups: number; hasWindow: boolean } {
  const hasWindow = config.find(listOf(word), 'layer_types')?.[layer] === 'sliding_attention'
  const own = hasWindow ? (config.find(windowed, 'attention_other_setting') ?? {}) : {}
  return {
    heads: own.num_attention_heads ?? config.get(count, 'num_attention_heads'),
    groups: own.num_attention_groups ?? config.get(count, 'num_attention_groups'),
    hasWindow,
  }
}

/** Layers with experts: `3,4,5`. */
function expertLayers(config: ModelConfig): number[] {
  return config.get(word, 'moe_layers_enum').split(',').map(Number)
}

/** llama.cpp gives experts to all layers behind the first with some. */
function contiguous(value: unknown, { fields }: { readonly fields: Fields }): boolean {
  const layers = typeof value === 'string' ? value.split(',').map(Number) : []
  const first = layers[0] ?? Number.NaN
  return first + layers.length === fields['num_hidden_layers'] && layers.every((layer, index) => layer === first + index)
}

/** A list with one value for layers that see all tokens, and another for those with a window. */
function sameForKind(value: unknown, { fields }: { readonly fields: Fields }, full: unknown, sliding: unknown): boolean {
  const types = fields['layer_types']
  if (!Array.isArray(value) || !Array.isArray(types)) return false
  return value.every((item, layer) => item === (types[layer] === 'sliding_attention' ? sliding : full))
}

/** @throws MqError CONFIG_INVALID where layers of one kind turn by different frequencies: GGUF has a base for each kind. */
function checkRopeTheta(config: ModelConfig): void {
  const { rope_theta: written } = config.written
  const { theta, local } = config.rope
  if (Array.isArray(written) && !sameForKind(written, config, theta, local?.theta)) {
    throw config.unsupported('rope_theta has several values for layers of one kind')
  }
}

/** The bound of what a layer's experts compute; 0 where there is none. */
function clampKey(config: ModelConfig, key: string, field: string): Entry[] {
  const limits = config.find(listOf(v.nullable(finite)), field)
  if (limits === undefined) return []
  const value = Array.from({ length: layersOf(config) }, (_, layer) => Math.fround(limits[layer] ?? 0))
  return [[key, { type: 'array', elementType: 'float32', value }]]
}

/** Stacks of all experts, as the checkpoint has them. */
function expertTensors(config: ModelConfig, hidden: number): TensorMapping[] {
  const experts = config.get(count, 'moe_num_experts')
  const width = config.get(size, 'moe_intermediate_size')
  return [
    tensor('moe.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    tensor('moe.router_bias', 'exp_probs_b.bias', [experts]),
    tensor('moe.gate_proj.weight', 'ffn_gate_exps.weight', [experts, width, hidden]),
    tensor('moe.up_proj.weight', 'ffn_up_exps.weight', [experts, width, hidden]),
    tensor('moe.down_proj.weight', 'ffn_down_exps.weight', [experts, hidden, width]),
    ...gatedFeedForward('share_expert', hidden, config.get(size, 'share_expert_dim'), { suffix: '_shexp' }),
  ]
}

/** These norms, too, multiply by 1 + weight. */
const shiftedNorm = (mapping: TensorMapping): TensorMapping =>
  mapping.name.endsWith('norm.weight') ? { ...mapping, toGguf: (input) => mapping.toGguf(plusOne(input)) } : mapping

/**
 * Llama 3's division of the frequencies of layers that see all tokens, which turn half of each head; 1 for the pairs that only layers with a
 * window turn. Computed in f64 from frequencies in f32, as the converter does.
 */
function frequencyFactors(config: ModelConfig): NamedTensor[] {
  const { rope } = config
  if (rope.kind !== 'llama3') return []
  const { headLength } = dimensionsOf(config)
  const turned = Math.trunc(headLength / 2)
  const factor = rope.factor ?? 8
  const [low, high, context] = [
    rope.low_freq_factor ?? 1,
    rope.high_freq_factor ?? 4,
    rope.original_max_position_embeddings ?? 8192,
  ]
  const f32 = Math.fround
  const factors = Array.from({ length: Math.trunc(headLength / 2) }, (_, pair) => {
    if (2 * pair >= turned) return 1
    const frequency = f32(1 / f32(f32(rope.theta ?? 10_000) ** f32((2 * pair) / turned)))
    const wavelength = (2 * Math.PI) / frequency
    if (wavelength < context / high) return 1
    if (wavelength > context / low) return factor
    const smooth = (context / wavelength - low) / (high - low)
    return f32(1 / ((1 - smooth) / factor + smooth))
  })
  return [{ name: 'rope_freqs.weight', recipe: constant(factors) }]
}
