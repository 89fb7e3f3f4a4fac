import { type GroupedOptions, groupedAttention } from '../attention.js'
import { baseKeys, countKey, dimensionsOf, flagKey, floatKey, names } from '../base.js'
import { count, countOrNone, type ModelConfig, size } from '../config.js'
import { decoderTensors, preNorms } from '../decoder.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { boundedExperts, gatedFeedForward, routedExperts, sparseAfterDense } from '../feed-forward.js'
import { headLength } from '../llama.js'
import { text, uint32 } from '../metadata.js'
import { countedPredictions } from '../mtp.js'
import { postNorms } from '../norms.js'
import { ropeFrequencies, rotatedPart } from '../rope.js'
import { blocks, norm, split, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family, FieldRule, FieldTable } from '../types.js'
import { windowKeys, windowPattern } from '../windows.js'

/** EXAONE 3 and 3.5: a Llama under other names, with queries and keys as transformers turns them. */
export const exaone: Family = {
  architecture: 'exaone',
  classes: ['ExaoneForCausalLM'],
  fields: {
    defaults: { layer_norm_epsilon: 1e-5, max_position_embeddings: 2048, rope_theta: 10_000, tie_word_embeddings: true },
    derived: headLength,
    ropeKinds: ['llama3'],
    ignored: ['embed_dropout'],
  },
  keys: (config) => [
    ...baseKeys(config),
    // Upstream's converter writes the key of other norms alone, and llama.cpp does not load its file.
    ...floatKey(config, 'attention.layer_norm_rms_epsilon', 'layer_norm_epsilon'),
    ['rope.dimension_count', uint32(rotatedLength(config))],
  ],
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    const { layers, hidden, feedForward } = dimensions
    return [
      ...embeddingAndOutputTensors(config, dimensions, { root: 'transformer.', embedding: 'wte', norm: 'ln_f' }),
      ...blocks('transformer.h', layers, () => [
        norm('ln_1', 'attn_norm', hidden),
        norm('ln_2', 'ffn_norm', hidden),
        ...groupedAttention(dimensions, { bias: false, from: 'attn.attention', names: { o: 'out_proj' } }),
        ...gatedFeedForward('mlp', hidden, feedForward, { bias: false, names: ['c_fc_0', 'c_fc_1', 'c_proj'] }),
      ]),
    ]
  },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: { computed: frequencies },
}

/** Three layers with a window to one without; `LLLG` says the same. */
const windows: NonNullable<FieldTable['supported']> = {
  layer_types: (value, config) => allFull(value) || pattern(value, config),
  // transformers 5 writes 0 where there is no window.
  sliding_window_pattern: (value, { fields }) => value === 4 || value === 'LLLG' || (value === 0 && !fields['sliding_window']),
}
const pattern = windowPattern(4) as Exclude<FieldRule, readonly unknown[]>
const allFull = (value: unknown): boolean => Array.isArray(value) && value.every((type) => type === 'full_attention')

/** EXAONE 4: norms after each part and of each head's queries and keys; the large one has windows, and rotates within them alone. */
export const exaone4: Family = {
  architecture: 'exaone4',
  classes: ['Exaone4ForCausalLM', 'Exaone4_5_ForConditionalGeneration'],
  fields: {
    defaults: {
      max_position_embeddings: 2048,
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      sliding_window: 4096,
      tie_word_embeddings: false,
    },
    derived: headLength,
    supported: {
      ...windows,
      // llama.cpp uses windows, and rotates within them alone, where there are so many layers, and nowhere else.
      sliding_window: (_, { fields }) => fields['num_hidden_layers'] === 64 || allFull(fields['layer_types']),
    },
    ropeKinds: ['llama3'],
  },
  keys: windowedKeys,
  tensors: (config) => decoderTensors(config, { norms: postNorms, attention: normedHeads(config) }),
  widths: { feedForward: true, embedding: 'stream-read', heads: 'with-embedding' },
  quirks: { computed: frequencies },
}

/** K-EXAONE: EXAONE 4 with norms before each part, many experts with one for every token, and layers that predict further tokens. */
export const exaoneMoe: Family = {
  architecture: 'exaone-moe',
  classes: ['ExaoneMoEForCausalLM', 'ExaoneMoeForCausalLM'],
  fields: {
    defaults: {
      first_k_dense_replace: 1,
      max_position_embeddings: 2048,
      n_group: 1,
      norm_topk_prob: true,
      num_shared_experts: 1,
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      tie_word_embeddings: false,
      topk_group: 1,
    },
    derived: headLength,
    supported: {
      ...windows,
      is_moe_layer: sparseAfterDense((kind) => kind === true),
      mlp_layer_types: sparseAfterDense((kind) => kind === 'sparse'),
      scoring_func: ['sigmoid'],
      topk_method: ['noaux_tc'],
    },
  },
  keys: (config) => [
    ...windowedKeys(config.with({ num_hidden_layers: blocksOf(config) })),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...countKey(config, 'expert_shared_count', 'num_shared_experts'),
    ['expert_shared_feed_forward_length', uint32(sharedWidth(config))],
    ...floatKey(config, 'expert_weights_scale', 'routed_scaling_factor'),
    ...flagKey(config, 'expert_weights_norm', 'norm_topk_prob'),
    ...countKey(config, 'leading_dense_block_count', 'first_k_dense_replace'),
    ['nextn_predict_layers', uint32(predictionsOf(config))],
    ['rope.scaling.type', text('none')],
  ],
  tensors: (config) => {
    const { layers, hidden } = dimensionsOf(config)
    const dense = config.get(countOrNone, 'first_k_dense_replace')
    const experts = boundedExperts(config, layers - dense)
    return [
      ...decoderTensors(config, {
        attention: normedHeads(config),
        feedForward: ({ feedForward }, layer) =>
          layer < dense ? gatedFeedForward('mlp', hidden, feedForward, { bias: false }) : expertTensors(config, experts),
      }),
      ...predictionTensors(config),
    ]
  },
  widths: { feedForward: true, embedding: 'stream', heads: 'free' },
  quirks: { layers: blocksOf },
}

function windowedKeys(config: ModelConfig): Entry[] {
  const layers = config.get(count, ...names.layers)
  return [
    ...baseKeys(config),
    ...countKey(config, 'vocab_size', 'vocab_size'),
    ...windowKeys(config, layers, (layer) => (layer + 1) % 4 !== 0),
  ]
}

function rotatedLength(config: ModelConfig): number {
  const { hidden, heads } = dimensionsOf(config)
  return Math.trunc((rotatedPart(config) ?? 1) * Math.floor(hidden / heads))
}

function frequencies(config: ModelConfig): ReturnType<typeof ropeFrequencies> {
  return ropeFrequencies(config, dimensionsOf(config).headLength)
}

function normedHeads(config: ModelConfig): GroupedOptions {
  return { bias: false, headNorm: dimensionsOf(config).headLength }
}

function predictionsOf(config: ModelConfig): number {
  return countedPredictions(config, 'mtp.')
}

/** Those that predict further tokens stand behind the others. */
function blocksOf(config: ModelConfig): number {
  return config.get(count, 'num_hidden_layers') + predictionsOf(config)
}

function sharedWidth(config: ModelConfig): number {
  return config.get(size, 'moe_intermediate_size') * config.get(countOrNone, 'num_shared_experts')
}

function expertTensors(config: ModelConfig, experts: number): TensorMapping[] {
  const { hidden } = dimensionsOf(config)
  const shared = sharedWidth(config)
  return [
    tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    tensor('mlp.e_score_correction_bias', 'exp_probs_b.bias', [experts]),
    ...routedExperts('mlp.experts', experts, hidden, config.get(size, 'moe_intermediate_size')),
    ...(shared > 0 ? gatedFeedForward('mlp.shared_experts', hidden, shared, { bias: false, suffix: '_shexp' }) : []),
  ]
}

/** Multi-token prediction: layers of their own, whose ends all of them share. */
function predictionTensors(config: ModelConfig): TensorMapping[] {
  const dimensions = dimensionsOf(config)
  const { layers, hidden, feedForward } = dimensions
  const predictions = Array.from({ length: predictionsOf(config) }, (_, index) => layers + index)
  if (predictions.length === 0) return []
  const shared = (from: string, to: string, shape: readonly number[]): TensorMapping =>
    split(`mtp.${from}.weight`, shape, (recipe) =>
      predictions.map((block) => ({ name: `blk.${block}.nextn.${to}.weight`, recipe })),
    )
  return [
    shared('fc', 'eh_proj', [hidden, 2 * hidden]),
    shared('pre_fc_norm_embedding', 'enorm', [hidden]),
    shared('pre_fc_norm_hidden', 'hnorm', [hidden]),
    shared('norm', 'shared_head_norm', [hidden]),
    ...blocks('mtp.layers', predictions.length, () => [
      ...preNorms(dimensions),
      ...groupedAttention(dimensions, normedHeads(config)),
      ...gatedFeedForward('mlp', hidden, feedForward, { bias: false }),
    ]).map((mapping) => ({
      ...mapping,
      toGguf: (recipe: Parameters<TensorMapping['toGguf']>[0]) =>
        mapping.toGguf(recipe).map((output) => ({
          ...output,
          name: output.name.replace(/^blk\.(\d+)/, (_, index: string) => `blk.${layers + Number(index)}`),
        })),
    })),
  ]
}
