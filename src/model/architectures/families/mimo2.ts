import { baseKeys, countKey, counts, dimensionsOf, floatKey, present } from '../base.js'
import { count, countOrNone, type Fields, flag, isFields, listOf, type ModelConfig, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { uint32 } from '../metadata.js'
import { predictionLayers, predictionTensors } from '../mtp.js'
import { rotatedPart } from '../rope.js'
import { blocks, linear, norm, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/**
 * MiMo V2: values shorter than keys and scaled, a window in most layers, which have more key-value heads and a sink in attention, experts
 * chosen by sigmoids with a bias, layers that predict further tokens, which all have a window.
 */
export const mimo2: Family = {
  architecture: 'mimo2',
  classes: ['MiMoV2FlashForCausalLM', 'MiMoV2ForCausalLM'],
  fields: {
    supported: {
      add_full_attention_sink_bias: [false],
      attention_projection_layout: ['fused_qkv', 'split'],
      moe_layer_freq: (value) => Array.isArray(value) && value.every((kind, layer) => (kind === 0) === (layer === 0)),
      n_shared_experts: [0],
      norm_topk_prob: [true],
      routed_scaling_factor: [1],
      sliding_window_size: (value, { fields }) => value === fields['sliding_window'],
      swa_head_dim: (value, { fields }) => value === fields['head_dim'],
      swa_num_attention_heads: (value, { fields }) => value === fields['num_attention_heads'],
      swa_v_head_dim: (value, { fields }) => value === fields['v_head_dim'],
      topk_method: ['noaux_tc'],
    },
    // A chunk of the kernels' cache, as long as the window.
    ignored: ['attention_chunk_size', 'moe_router_dtype'],
  },
  keys: (config) => [
    ...baseKeys(config.with({ num_hidden_layers: layersOf(config) })),
    ['attention.head_count_kv', counts(windows(config).map((hasWindow) => groupsOf(config, hasWindow)))],
    ...countKey(config, 'attention.sliding_window', 'sliding_window'),
    ['attention.sliding_window_pattern', counts(windows(config).map(Number))],
    ...countKey(config, 'attention.value_length', 'v_head_dim'),
    ...countKey(config, 'expert_count', 'n_routed_experts'),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ['rope.dimension_count', uint32(Math.trunc(config.get(count, 'head_dim') * (rotatedPart(config) ?? 1)))],
    ...floatKey(config, 'attention.layer_norm_rms_epsilon', 'layernorm_epsilon'),
    ...floatKey(config, 'attention.value_scale', 'attention_value_scale'),
    ...present('nextn_predict_layers', predictionsOf(config) || undefined, uint32),
  ],
  tensors: (config) => {
    const { layers, vocabulary, hidden, feedForward, heads, headLength } = dimensionsOf(config)
    checkFusedScales(config)
    const experts = boundedExperts(config, layers - 1, 'n_routed_experts')
    const width = config.get(size, 'moe_intermediate_size')
    const valueLength = config.get(count, 'v_head_dim')
    const windowed = windows(config)
    const hasSink = config.find(flag, 'add_swa_attention_sink_bias') === true
    return [
      ...embeddingAndOutputTensors(config, { vocabulary, hidden }),
      ...blocks('model.layers', layersOf(config), (layer) => {
        const hasWindow = windowed[layer] === true
        const groups = groupsOf(config, hasWindow)
        const second = config.hasTensor(`model.layers.${layer}.pre_mlp_layernorm.weight`)
          ? 'pre_mlp_layernorm'
          : 'post_attention_layernorm'
        return [
          norm('input_layernorm', 'attn_norm', hidden),
          norm(second, 'ffn_norm', hidden),
          ...attention(config, layer, {
            hidden,
            queries: heads * headLength,
            keys: groups * headLength,
            values: groups * valueLength,
            output: heads * valueLength,
          }),
          ...(hasSink && hasWindow ? [tensor('self_attn.attention_sink_bias', 'attn_sinks.weight', [heads])] : []),
          ...(layer === 0 || layer >= layers
            ? gatedFeedForward('mlp', hidden, feedForward)
            : [
                tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
                tensor('mlp.gate.e_score_correction_bias', 'exp_probs_b.bias', [experts]),
                ...routedExperts('mlp.experts', experts, hidden, width, { order: ['gate', 'up', 'down'] }),
              ]),
          ...(layer < layers ? [] : furtherTensors(hidden, vocabulary)),
        ]
      }),
    ]
  },
  widths: { feedForward: true, embedding: 'plain' },
  quirks: {
    layers: layersOf,
    separableMtp: true,
    rename: (name, config) =>
      name.replace(/^model\.mtp\.layers\.(\d+)\./, (_, index: string) => {
        return `model.layers.${config.get(count, 'num_hidden_layers') + Number(index)}.`
      }),
  },
}

/** Layers that predict further tokens; config.json does not count them. */
function predictionsOf(config: ModelConfig): number {
  const found = config.checkpoint.names.flatMap((name) => /(?:^|\.)mtp\.layers\.(\d+)\./.exec(name)?.[1] ?? [])
  return predictionLayers(config, Math.min(65_536, found.length === 0 ? 0 : Math.max(...new Set(found.map(Number))) + 1))
}

/** Those that predict further tokens stand behind the others. */
function layersOf(config: ModelConfig): number {
  return config.get(count, 'num_hidden_layers') + predictionsOf(config)
}

/** Which layers have a window. @throws MqError CONFIG_INVALID. */
function windows(config: ModelConfig): boolean[] {
  const layers = config.get(count, 'num_hidden_layers')
  const pattern = config.get(listOf(countOrNone), 'hybrid_layer_pattern')
  if (pattern.length !== layers) throw config.invalid(`hybrid_layer_pattern has ${pattern.length} entries for ${layers} layers`)
  return [...pattern.map((kind) => kind === 1), ...Array<boolean>(predictionsOf(config)).fill(true)]
}

function groupsOf(config: ModelConfig, hasWindow: boolean): number {
  return config.get(count, hasWindow ? 'swa_num_key_value_heads' : 'num_key_value_heads')
}

interface Widths {
  readonly hidden: number
  readonly queries: number
  readonly keys: number
  readonly values: number
  readonly output: number
}

/** Queries, keys and values in a matrix each, or in one. */
function attention(config: ModelConfig, layer: number, { hidden, queries, keys, values, output }: Widths): TensorMapping[] {
  const isFused = config.hasTensor(`model.layers.${layer}.self_attn.qkv_proj.weight`)
  return [
    ...(isFused
      ? linear('self_attn.qkv_proj', 'attn_qkv', [queries + keys + values, hidden], { bias: false })
      : [
          ...linear('self_attn.q_proj', 'attn_q', [queries, hidden], { bias: false }),
          ...linear('self_attn.k_proj', 'attn_k', [keys, hidden], { bias: false }),
          ...linear('self_attn.v_proj', 'attn_v', [values, hidden], { bias: false }),
        ]),
    ...linear('self_attn.o_proj', 'attn_output', [hidden, output], { bias: false }),
  ]
}

/** How a layer takes in the last token, and its last norm; it shares the embedding and the output matrix. */
function furtherTensors(hidden: number, vocabulary: number): TensorMapping[] {
  return [
    ...predictionTensors(hidden, vocabulary).filter(({ name }) => /^(eh_proj|enorm|hnorm)\./.test(name)),
    norm('final_layernorm', 'layer_output_norm', hidden),
  ]
}

/**
 * FP8 matrices of queries, keys and values together hold the rows of one machine after another, and their scales begin anew with each.
 * @throws MqError CONFIG_INVALID.
 */
function checkFusedScales(config: ModelConfig): void {
  const { quantization_config: quantization }: Fields = config.fields
  const isFused = config.checkpoint.names.some((name) => name.endsWith('.self_attn.qkv_proj.weight'))
  if (isFused && isFields(quantization) && quantization['quant_method'] === 'fp8') {
    throw config.unsupported('queries, keys and values lie in one FP8 matrix, whose rows are in the order of several machines')
  }
}
