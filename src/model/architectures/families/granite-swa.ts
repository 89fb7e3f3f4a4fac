import { groupedAttention } from '../attention.js'
import { countKey, type Dimensions, dimensionsOf } from '../base.js'
import { countOrNone, listOf, type ModelConfig, size, word } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts } from '../feed-forward.js'
import { uint32 } from '../metadata.js'
import { type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'
import { windowFlags } from '../windows.js'
import { granite, graniteKeys } from './granite.js'

/** Granite with sinks in attention, a sliding window in most layers, and layers that rotate nothing. */
export const graniteSwa: Family = {
  ...granite,
  architecture: 'granite_swa',
  classes: ['GraniteSWAForCausalLM'],
  // transformers does not know the classes, and fills in nothing.
  fields: { ...granite.fields, defaults: {} },
  keys: windowedKeys,
  tensors: (config) => decoderTensors(config, { attention: attentionTensors }),
  footprint: undefined,
}

/** The same with routed experts and one for every token, whose gates and up-projections stay together. */
export const graniteMoeSwa: Family = {
  ...graniteSwa,
  classes: ['GraniteMoeSWAForCausalLM'],
  keys: (config) => [
    ...windowedKeys(config),
    ...countKey(config, 'expert_shared_feed_forward_length', 'shared_intermediate_size'),
  ],
  tensors: (config) => {
    const experts = boundedExperts(config, 0)
    const [up, down] = config.hasTensor('model.layers.0.block_sparse_moe.input_linear.weight')
      ? ['input_linear.weight', 'output_linear.weight']
      : ['experts.gate_up_proj', 'experts.down_proj']
    // transformers saves it without the name of a layer within.
    const router = config.hasTensor('model.layers.0.block_sparse_moe.router.layer.weight')
      ? 'router.layer.weight'
      : 'router.weight'
    const shared = config.find(size, 'shared_intermediate_size')
    return decoderTensors(config, {
      attention: attentionTensors,
      feedForward: ({ hidden, feedForward: width }) => [
        tensor(`block_sparse_moe.${router}`, 'ffn_gate_inp.weight', [experts, hidden]),
        tensor(`block_sparse_moe.${up}`, 'ffn_gate_up_exps.weight', [experts, 2 * width, hidden]),
        tensor(`block_sparse_moe.${down}`, 'ffn_down_exps.weight', [experts, hidden, width]),
        ...(shared === undefined
          ? []
          : [
              tensor('shared_mlp.input_linear.weight', 'ffn_up_shexp.weight', [2 * shared, hidden]),
              tensor('shared_mlp.output_linear.weight', 'ffn_down_shexp.weight', [hidden, shared]),
            ]),
      ],
    })
  },
}

function attentionTensors(dimensions: Dimensions): TensorMapping[] {
  return [
    ...groupedAttention(dimensions, { interleave: true }),
    tensor('self_attn.sinks', 'attn_sinks.weight', [dimensions.heads]),
  ]
}

/** Which layers have a window, and which rotate queries and keys. @throws MqError CONFIG_INVALID. */
function windowedKeys(config: ModelConfig): Entry[] {
  const { layers } = dimensionsOf(config)
  const types =
    config.find(listOf(word), 'layer_types') ??
    Array.from({ length: layers }, (_, layer) => (layer % 4 === 0 ? 'full_attention' : 'sliding_attention'))
  const rotated = config.find(listOf(countOrNone), 'no_rope_layers') ?? []
  for (const [name, { length }] of [
    ['layer_types', types],
    ['no_rope_layers', rotated],
  ] as const) {
    if (length > 0 && length !== layers) throw config.invalid(`${name} has ${length} entries, and there are ${layers} layers`)
  }
  return [
    ...graniteKeys(config),
    ['attention.sliding_window', uint32(config.find(size, 'sliding_window') ?? 128)],
    windowFlags(types.map((type) => type === 'sliding_attention')),
    ...(rotated.length === 0
      ? []
      : [
          ['attention.rope_pattern', { type: 'array', elementType: 'bool', value: rotated.map((value) => value !== 0) }] as const,
        ]),
  ]
}
