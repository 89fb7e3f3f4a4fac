import { isDeepStrictEqual } from 'node:util'
import { constant } from '../../../recipe/index.js'
import { groupedAttention } from '../attention.js'
import { baseKeys, countKey, type Dimensions, dimensionsOf, floatKey, present } from '../base.js'
import { count, countOrNone, type Fields, flag, isFields, listOf, type ModelConfig, size, word } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { boundedExperts, gatedFeedForward } from '../feed-forward.js'
import { bool, uint32 } from '../metadata.js'
import { perLayerInputTensors, perLayerRoles, perLayerTensors } from '../per-layer-inputs.js'
import { blocks, norm, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family, NamedTensor } from '../types.js'
import { windowFlags } from '../windows.js'

/** Gemma 4: heads of two lengths, layers that share the keys and values of others, experts or inputs of their own for each layer in some. */
export const gemma4: Family = {
  architecture: 'gemma4',
  classes: ['Gemma4ForConditionalGeneration', 'Gemma4ForCausalLM', 'Gemma4UnifiedForConditionalGeneration'],
  fields: {
    defaults: {
      attention_k_eq_v: false,
      enable_moe_block: false,
      global_head_dim: 512,
      head_dim: 256,
      hidden_size_per_layer_input: 256,
      max_position_embeddings: 131_072,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      num_kv_shared_layers: 0,
      rms_norm_eps: 1e-6,
      sliding_window: 512,
      tie_word_embeddings: true,
      use_double_wide_mlp: false,
      vocab_size: 262_144,
    },
    // Source: Gemma4UnifiedTextConfig of transformers, which has no such inputs.
    classDefaults: { Gemma4UnifiedForConditionalGeneration: { hidden_size_per_layer_input: 0 } },
    supported: {
      hidden_activation: ['gelu_pytorch_tanh', 'gelu_new', 'gelu_fast'],
      per_layer_config: [],
      'rope.partial_rotary_factor': (value) => value === 0.25 || value === 1,
      tie_word_embeddings: [true],
      use_bidirectional_attention: (value) =>
        value === 'vision'
          ? 'In the original, image tokens attend to each other in both directions; the GGUF file holds the text model only, which has none.'
          : value === false,
      vocab_size_per_layer_input: (value, { fields }) => value === fields['vocab_size'],
    },
    respelled: ofFullLayers,
    ropeKinds: ['proportional'],
    ignored: ['boa_token_id', 'eoa_token_id', 'eoa_token_index', 'vision_soft_tokens_per_image'],
  },
  keys: (config) => {
    const { layers, window, full, windows, shared } = shapeOf(config)
    const { intermediate_size: width } = config.fields
    const wide = config.find(flag, 'use_double_wide_mlp') === true
    const perLayer = {
      head_dim: full.headLength,
      ...(wide && { intermediate_size: windows.map((_, layer) => (layer < layers - shared ? 1 : 2) * Number(width)) }),
      ...(config.find(count, 'num_global_key_value_heads') !== undefined && {
        num_key_value_heads: windows.map((isWindow) => (isWindow ? window : full).keyValueHeads),
      }),
    }
    return [
      ...baseKeys(config.with(perLayer)),
      ...floatKey(config, 'final_logit_softcapping', 'final_logit_softcapping'),
      ...countKey(config, 'attention.sliding_window', 'sliding_window'),
      ...countKey(config, 'attention.shared_kv_layers', 'num_kv_shared_layers'),
      ['embedding_length_per_layer_input', uint32(config.find(countOrNone, 'hidden_size_per_layer_input') ?? 0)],
      windowFlags(windows),
      ['attention.key_length_swa', uint32(window.headLength)],
      ['attention.value_length_swa', uint32(window.headLength)],
      ...present('expert_feed_forward_length', config.find(size, 'expert_intermediate_size', 'moe_intermediate_size'), uint32),
      ['rope.dimension_count', uint32(full.headLength)],
      ['rope.dimension_count_swa', uint32(window.headLength)],
    ]
  },
  tensors: (config) => {
    const { layers, hidden, vocabulary, window, full, windows, shared } = shapeOf(config)
    const perLayer = config.find(countOrNone, 'hidden_size_per_layer_input') ?? 0
    const sameKeysAndValues = config.find(flag, 'attention_k_eq_v') === true
    const width = config.get(size, 'intermediate_size')
    const wide = config.find(flag, 'use_double_wide_mlp') === true
    const experts = config.find(flag, 'enable_moe_block') === true ? boundedExperts(config, layers) : 0
    return [
      ...embeddingAndOutputTensors(config, { vocabulary, hidden }),
      ...(perLayer === 0
        ? []
        : [
            tensor('model.embed_tokens_per_layer.weight', 'per_layer_token_embd.weight', [vocabulary, layers * perLayer]),
            ...perLayerTensors(hidden, layers, perLayer),
          ]),
      ...blocks('model.layers', layers, (layer) => {
        const isWindow = windows[layer] === true
        const sharing = layer >= layers - shared
        return [
          norm('input_layernorm', 'attn_norm', hidden),
          norm('post_attention_layernorm', 'post_attention_norm', hidden),
          norm('pre_feedforward_layernorm', 'ffn_norm', hidden),
          norm('post_feedforward_layernorm', 'post_ffw_norm', hidden),
          tensor('layer_scalar', 'layer_output_scale.weight', [1]),
          ...attention(isWindow ? window : full, { sharing, withValues: isWindow || !sameKeysAndValues }),
          ...gatedFeedForward('mlp', hidden, (wide && sharing ? 2 : 1) * width, { bias: false }),
          ...(experts === 0 ? [] : expertTensors(config, experts, hidden)),
          ...(perLayer === 0 ? [] : perLayerInputTensors(hidden, perLayer)),
        ]
      }),
    ]
  },
  roles: { ...perLayerRoles, ffn_gate_up_exps: 'expert-up' },
  widths: { feedForward: true, fixed: 'per-layer inputs are the embedding divided by the square root of the width' },
  quirks: { computed: frequencies, tokenizer: 'gemma4', adjustTokenizer },
}

/**
 * What layers without a window have of their own, where transformers 5 writes it for each of them (per_layer_config): the two fields that
 * it was in before. What these cannot say stays as it is, and is refused.
 */
function ofFullLayers({ per_layer_config: perLayer, layer_types: types, head_dim: length }: Fields): Fields {
  if (!isFields(perLayer) || !Array.isArray(types)) return {}
  const full = types.flatMap((type, layer) => (type === 'full_attention' ? [`${layer}`] : []))
  const own = full.map((layer) => perLayer[layer] ?? {})
  const [first = {}] = own
  const asOne =
    own.every((fields) => isDeepStrictEqual(fields, first)) && Object.keys(perLayer).every((layer) => full.includes(layer))
  if (!asOne || !isFields(first)) return {}
  const { head_dim: globalLength = length, num_key_value_heads: groups, ...others } = first
  if (Object.keys(others).length > 0) return {}
  return {
    per_layer_config: null,
    global_head_dim: globalLength,
    ...(groups !== undefined && { num_global_key_value_heads: groups }),
  }
}

interface Shape {
  readonly layers: number
  readonly hidden: number
  readonly vocabulary: number
  /** Of layers with a window, and without. */
  readonly window: Dimensions
  readonly full: Dimensions
  /** Which layers have a window. */
  readonly windows: readonly boolean[]
  /** Layers at the end that share the keys and values of earlier ones. */
  readonly shared: number
}

function shapeOf(config: ModelConfig): Shape {
  const window = dimensionsOf(config)
  const { layers, hidden, vocabulary, keyValueHeads } = window
  const types = config.get(listOf(word), 'layer_types')
  if (types.length !== layers) throw config.invalid(`layer_types has ${types.length} entries for ${layers} layers`)
  return {
    layers,
    hidden,
    vocabulary,
    window,
    full: {
      ...window,
      headLength: config.get(count, 'global_head_dim'),
      keyValueHeads: config.find(count, 'num_global_key_value_heads') ?? keyValueHeads,
    },
    windows: types.map((type) => type === 'sliding_attention'),
    shared: config.find(countOrNone, 'num_kv_shared_layers') ?? 0,
  }
}

/** Where layers share keys and values, those of their own are of no use: checkpoints may have them. Where both are one, there are no values. */
function attention(dimensions: Dimensions, { sharing, withValues }: { sharing: boolean; withValues: boolean }): TensorMapping[] {
  return groupedAttention(dimensions, { bias: false, headNorm: dimensions.headLength })
    .filter(({ name }) => withValues || !name.includes('v_proj'))
    .map((mapping) => (sharing && /\.(k_proj|v_proj|k_norm)\./.test(mapping.name) ? { ...mapping, required: false } : mapping))
}

function expertTensors(config: ModelConfig, experts: number, hidden: number): TensorMapping[] {
  const width = config.get(size, 'expert_intermediate_size', 'moe_intermediate_size')
  return [
    tensor('router.scale', 'ffn_gate_inp.scale', [hidden]),
    tensor('router.per_expert_scale', 'ffn_down_exps.scale', [experts]),
    tensor('router.proj.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    tensor('experts.gate_up_proj', 'ffn_gate_up_exps.weight', [experts, 2 * width, hidden]),
    tensor('experts.down_proj', 'ffn_down_exps.weight', [experts, hidden, width]),
    norm('post_feedforward_layernorm_1', 'post_ffw_norm_1', hidden),
    norm('post_feedforward_layernorm_2', 'post_ffw_norm_2', hidden),
    norm('pre_feedforward_layernorm_2', 'pre_ffw_norm_2', hidden),
  ]
}

/** Of layers without a window a part of each head turns; a factor of 1e30 holds the rest. @throws MqError CONFIG_INVALID. */
function frequencies(config: ModelConfig): NamedTensor[] {
  const { rope } = config
  if (rope.kind !== 'proportional')
    throw config.invalid(`rope_parameters.full_attention has the type ${rope.kind}, not proportional`)
  const pairs = Math.floor(config.get(count, 'global_head_dim') / 2)
  const turned = Math.trunc((config.get(count, 'global_head_dim') * (rope.partial_rotary_factor ?? 1)) / 2)
  return [{ name: 'rope_freqs.weight', recipe: constant(Array.from({ length: pairs }, (_, pair) => (pair < turned ? 1 : 1e30))) }]
}

function adjustTokenizer(entries: readonly Entry[]): readonly Entry[] {
  return [
    ...entries.filter(([key]) => !/\.add_(space_prefix|bos_token|eos_token|sep_token)$/.test(key)),
    ['tokenizer.ggml.add_space_prefix', bool(false)],
    ['tokenizer.ggml.add_bos_token', bool(true)],
  ]
}
