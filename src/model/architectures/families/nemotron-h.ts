import * as v from 'valibot'
import { groupedAttention } from '../attention.js'
import { baseKeys, countKey, counts, type Dimensions, dimensionsOf, floatKey, names, present } from '../base.js'
import { count, countOrNone, type Fields, flag, isFields, listOf, type ModelConfig, size, word } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { boundedExperts } from '../feed-forward.js'
import { bool, uint32 } from '../metadata.js'
import { countedPredictions, predictionLayers } from '../mtp.js'
import { plainFeedForward } from '../plain-feed-forward.js'
import { type Mamba2Dimensions, mamba2, stepFields, unclippedStep } from '../state-space.js'
import { blocks, linear, norm, stackedExperts, type TensorMapping, tensor, within } from '../tensor-mappings.js'
import type { Entry, Family, FieldTable } from '../types.js'
import { paddedVocabulary } from '../vocabulary.js'
import { words } from '../words.js'

const kinds = { M: 'mamba', '*': 'attention', '-': 'mlp', E: 'moe' } as const
type Kind = (typeof kinds)[keyof typeof kinds]

/** Other words for them in lists. */
const listed: Readonly<Record<string, Kind>> = {
  mamba: 'mamba',
  linear_attention: 'mamba',
  attention: 'attention',
  full_attention: 'attention',
  mlp: 'mlp',
  moe: 'moe',
}

const table: FieldTable = {
  defaults: {
    conv_kernel: 4,
    n_groups: 8,
    num_key_value_heads: 8,
    ssm_state_size: 128,
    tie_word_embeddings: false,
  },
  derived: ({ layers_block_type: list, hybrid_override_pattern: pattern }: Fields): Fields => ({
    ...(Array.isArray(list) && { num_hidden_layers: list.length }),
    ...(typeof pattern === 'string' && { num_hidden_layers: pattern.length }),
  }),
  supported: {
    mlp_hidden_act: ['relu2'],
    mamba_hidden_act: ['silu'],
    mamba_proj_bias: [false],
    use_conv_bias: [true],
    time_step_limit: unclippedStep,
    partial_rotary_factor: () => true,
    mtp_hybrid_override_pattern: ['*E'],
    moe_shared_expert_overlap: [true, false],
  },
  // Its attention knows no positions.
  ignored: [
    ...stepFields,
    'chunk_size',
    'mamba_ssm_cache_dtype',
    'expand',
    'num_logits_to_keep',
    'rescale_prenorm_residual',
    'residual_in_fp32',
    'time_step_rank',
    'moe_aux_loss_coeff',
    'mtp_layers_block_type',
  ],
}

const quirks: Family['quirks'] = {
  rename: oneName,
  separableMtp: true,
  vocabulary,
  layers: layersOf,
  preNames: { tekken: 'pixtral' },
  leaveOut: (name, config) =>
    name.startsWith('mtp.') && (storedPredictions(config) === 0 || config.mtp === 'without')
      ? 'of layers for multi-token prediction'
      : undefined,
}

/** What transformers 5 writes for models without experts, too. */
const expertFields = words(`
  moe_intermediate_size moe_shared_expert_intermediate_size n_group n_routed_experts n_shared_experts norm_topk_prob num_experts_per_tok
  routed_scaling_factor topk_group
`)

/** Nemotron-H: a layer is Mamba 2, attention, or a feed-forward part. */
export const nemotronH: Family = {
  architecture: 'nemotron_h',
  classes: ['NemotronHForCausalLM'],
  applies: (fields) => !hasExperts(fields),
  fields: { ...table, ignored: [...(table.ignored ?? []), ...expertFields] },
  keys: (config) => [
    ...hybridKeys(config.with(Object.fromEntries(expertFields.map((name) => [name, undefined])))),
    ['feed_forward_length', widths(config, 'mlp', config.get(size, ...names.feedForward))],
  ],
  tensors: (config) => tensorsOf(config),
  quirks,
  widths: { feedForward: true, embedding: 'stream' },
}

/** Nemotron 3: the same with experts, which may work on a shorter vector (latent experts), and a layer that predicts a further token. */
export const nemotronHMoe: Family = {
  architecture: 'nemotron_h_moe',
  classes: ['NemotronHForCausalLM'],
  applies: hasExperts,
  fields: { ...table, ignored: [...(table.ignored ?? []), 'intermediate_size', 'moe_latent_size'] },
  keys: (config) => [
    ...hybridKeys(config),
    ['feed_forward_length', widths(config, 'moe', config.get(size, 'moe_intermediate_size'))],
    ...countKey(config, 'expert_used_count', 'num_experts_per_tok'),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...countKey(config, 'expert_shared_feed_forward_length', 'moe_shared_expert_intermediate_size'),
    ...expertKeys(config),
    ...(predictionsOf(config) > 0 ? [['nextn_predict_layers', uint32(predictionsOf(config))] as const] : []),
  ],
  tensors: (config) => tensorsOf(config),
  roles: { ffn_latent_down: 'other', ffn_latent_up: 'other' },
  quirks,
  widths: { feedForward: true, embedding: 'stream' },
}

/** Layers of their own widths (Puzzle) say how many experts each uses. */
function hasExperts(fields: Fields): boolean {
  const { num_experts_per_tok: used, block_configs: configs, layers_block_type: list, hybrid_override_pattern: pattern } = fields
  // transformers 5 writes numbers of experts for models that have none.
  if (Array.isArray(list)) return list.includes('moe')
  if (typeof pattern === 'string') return pattern.includes('E')
  return (used !== undefined && used !== null) || Array.isArray(configs)
}

const puzzleBlock = v.looseObject({
  block_type: word,
  moe_intermediate_size: v.nullish(size),
  num_experts_per_tok: v.nullish(count),
})

/** One value for each layer of what its configuration says; 0 for layers without experts. */
function ofBlocks(config: ModelConfig, field: 'moe_intermediate_size' | 'num_experts_per_tok'): number[] {
  return config.get(listOf(puzzleBlock), 'block_configs').map((block) => block[field] ?? 0)
}

/** Nemotron 3 Puzzle: layers with experts of several widths, of which tokens use several numbers. */
export const nemotronHPuzzle: Family = {
  ...nemotronHMoe,
  classes: ['NemotronHPuzzleForCausalLM'],
  applies: undefined,
  fields: {
    ...nemotronHMoe.fields,
    // The list of blocks is what counts; its layers for multi-token prediction have a form that llama.cpp does not know.
    respelled: ({ block_configs: configs }) => ({
      ...(Array.isArray(configs) && {
        layers_block_type: configs.map((block: unknown) => (isFields(block) ? block['block_type'] : undefined)),
        num_hidden_layers: configs.length,
      }),
      hybrid_override_pattern: undefined,
      num_nextn_predict_layers: 0,
    }),
    ignored: [...(nemotronHMoe.fields?.ignored ?? []), 'mtp_block_configs', 'num_experts_per_tok', 'moe_intermediate_size'],
  },
  keys: (config) => {
    const widths = counts(ofBlocks(config, 'moe_intermediate_size'))
    return [
      ...hybridKeys(config),
      ['feed_forward_length', widths],
      ['expert_feed_forward_length', widths],
      ['expert_used_count', counts(ofBlocks(config, 'num_experts_per_tok'))],
      ...countKey(config, 'expert_shared_feed_forward_length', 'moe_shared_expert_intermediate_size'),
      ...expertKeys(config),
    ]
  },
  tensors: (config) => tensorsOf(config, ofBlocks(config, 'moe_intermediate_size')),
  quirks: {
    ...quirks,
    separableMtp: false,
    rename: (name, config) => oneName(name, config).replace('.e_score_correction.bias', '.e_score_correction_bias'),
  },
}

/** Layers of the output that predict a further token. */
function predictionsOf(config: ModelConfig): number {
  return predictionLayers(config, storedPredictions(config))
}

/** Layers of the checkpoint that predict a further token; llama.cpp knows one. @throws MqError CONFIG_INVALID. */
function storedPredictions(config: ModelConfig): number {
  const layers = countedPredictions(config, 'mtp.')
  if (layers > 1) throw config.invalid(`num_nextn_predict_layers is ${layers}, and llama.cpp has at most 1 here`)
  return hasExperts(config.fields) ? layers : 0
}

/**
 * The name that the tables here have: blocks of the checkpoint have three names. The two parts of a layer that predicts a further token,
 * attention and experts, are one layer behind the others.
 */
function oneName(name: string, config: ModelConfig): string {
  if (name.startsWith('mtp.') && storedPredictions(config) > 0) {
    const layer = `model.layers.${kindsOf(config).length}.`
    return name.replace(/^mtp\.layers\.1\.norm\./, `${layer}moe_norm.`).replace(/^mtp\.layers\.[01]\./, layer)
  }
  return name
    .replace(/^backbone\.layers\./, 'model.layers.')
    .replace(/^(?:backbone\.embedding|model\.embeddings)\./, 'backbone.embeddings.')
    .replace(/^model\.norm_f\./, 'backbone.norm_f.')
}

function layersOf(config: ModelConfig): number {
  return kindsOf(config).length + predictionsOf(config)
}

/** What each layer is. @throws MqError CONFIG_INVALID. */
function kindsOf(config: ModelConfig): Kind[] {
  const list = config.find(listOf(word), 'layers_block_type')
  const pattern = config.find(word, 'hybrid_override_pattern')
  const words = pattern === undefined ? list : pattern.split('')
  if (words === undefined) throw config.invalid('neither hybrid_override_pattern nor layers_block_type says what the layers are')
  const layers = config.get(count, ...names.layers)
  if (words.length !== layers) throw config.invalid(`it names the kinds of ${words.length} layers, and has ${layers}`)
  return words.map((name) => {
    const kind = pattern === undefined ? listed[name] : (kinds as Readonly<Record<string, Kind>>)[name]
    if (kind === undefined) throw config.invalid(`a layer is of the kind ${JSON.stringify(name)}, which mq does not know`)
    return kind
  })
}

function vocabulary(config: ModelConfig): number {
  return paddedVocabulary(config, 8, 'backbone.embeddings.weight')
}

function stateSpaceOf(config: ModelConfig): Mamba2Dimensions {
  const heads = config.get(count, 'mamba_num_heads')
  const inner = heads * config.get(count, 'mamba_head_dim')
  const groups = config.get(count, 'n_groups')
  if (!Number.isInteger(inner / groups)) throw config.invalid('mamba_num_heads, mamba_head_dim and n_groups do not fit')
  return {
    hidden: config.get(size, 'hidden_size'),
    inner,
    state: config.get(size, 'ssm_state_size'),
    kernel: config.get(count, 'conv_kernel'),
    heads,
    groups,
  }
}

function expertKeys(config: ModelConfig): Entry[] {
  return [
    ...countKey(config, 'expert_count', 'n_routed_experts'),
    ...countKey(config, 'expert_shared_count', 'n_shared_experts'),
    ...present('expert_weights_norm', config.find(flag, 'norm_topk_prob'), bool),
    ...floatKey(config, 'expert_weights_scale', 'routed_scaling_factor'),
    ...countKey(config, 'expert_group_count', 'n_group'),
    ...countKey(config, 'moe_latent_size', 'moe_latent_size'),
  ]
}

/** One value for each layer: that of its kind, 0 for the others; a layer that predicts has attention and experts. */
function widths(config: ModelConfig, kind: Kind, width: number): Entry[1] {
  const predicting = kind === 'mlp' ? [] : Array.from({ length: predictionsOf(config) }, () => width)
  return counts([...kindsOf(config).map((each) => (each === kind ? width : 0)), ...predicting])
}

function hybridKeys(config: ModelConfig): Entry[] {
  const { inner, kernel, state, heads, groups } = stateSpaceOf(config)
  const { hidden, heads: queries, keyValueHeads } = dimensionsOf(config)
  const headLength = config.get(count, 'head_dim', 'attention_head_dim')
  return [
    ...baseKeys(config.with({ num_hidden_layers: layersOf(config), head_dim: undefined, attention_head_dim: undefined })),
    ...countKey(config, 'vocab_size', 'vocab_size'),
    // Nothing is rotated; llama.cpp's converter writes the usual length.
    ['rope.dimension_count', uint32(Math.floor(hidden / queries))],
    ['ssm.conv_kernel', uint32(kernel)],
    ['ssm.state_size', uint32(state)],
    ['ssm.group_count', uint32(groups)],
    ['ssm.inner_size', uint32(inner)],
    ['ssm.time_step_rank', uint32(heads)],
    ['attention.head_count_kv', widths(config, 'attention', keyValueHeads)],
    ['rope.scaling.finetuned', bool(false)],
    ['context_length', uint32(2 ** 20)],
    ['attention.key_length', uint32(headLength)],
    ['attention.value_length', uint32(headLength)],
  ]
}

/** @param expertWidths of each layer, where they are not the same. */
function tensorsOf(config: ModelConfig, expertWidths?: readonly number[]): TensorMapping[] {
  const all = kindsOf(config)
  const dimensions = { ...dimensionsOf(config), headLength: config.get(count, 'head_dim', 'attention_head_dim') }
  const { hidden } = dimensions
  const moe = (experts: number, layer?: number): TensorMapping[] => {
    const width = expertWidths?.[layer ?? 0] ?? config.get(size, 'moe_intermediate_size')
    return experts > 0 ? expertTensors(config, experts, hidden, width) : []
  }
  const predicting = predictionsOf(config)
  const experts = hasExperts(config.fields)
    ? boundedExperts(config, all.filter((kind) => kind === 'moe').length + predicting, 'n_routed_experts')
    : 0
  const parts = {
    mamba: () => mamba2('mixer', stateSpaceOf(config), { convolutionBias: true }),
    attention: () => attentionTensors(dimensions),
    mlp: () => plainFeedForward('mixer', hidden, config.get(size, ...names.feedForward), { bias: false }),
    moe: (layer: number) => moe(experts, layer),
  }
  return [
    ...embeddingAndOutputTensors(
      config,
      { hidden, vocabulary: vocabulary(config) },
      { root: 'backbone.', embedding: 'embeddings', norm: 'norm_f' },
    ),
    ...blocks('model.layers', all.length, (layer) => [norm('norm', 'attn_norm', hidden), ...parts[all[layer] as Kind](layer)]),
    ...(predicting === 0 ? [] : predictionTensors(dimensions, all.length, moe(experts))),
  ]
}

function attentionTensors(dimensions: Dimensions): TensorMapping[] {
  return groupedAttention(dimensions, { bias: false, interleave: true, from: 'mixer' })
}

/** Experts of two matrices with a squared ReLU between, one that every token passes, and where they are latent a way in and out. */
function expertTensors(config: ModelConfig, experts: number, hidden: number, width: number): TensorMapping[] {
  const shared = config.get(size, 'moe_shared_expert_intermediate_size') * (config.find(countOrNone, 'n_shared_experts') ?? 1)
  const latent = config.find(size, 'moe_latent_size')
  const inner = latent ?? hidden
  const matrix = (name: string) => (expert: number) => `mixer.experts.${expert}.${name}.weight`
  return [
    tensor('mixer.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    tensor('mixer.gate.e_score_correction_bias', 'exp_probs_b.bias', [experts]),
    ...stackedExperts(experts, [
      { from: matrix('down_proj'), to: 'ffn_down_exps.weight', shape: [inner, width] },
      { from: matrix('up_proj'), to: 'ffn_up_exps.weight', shape: [width, inner] },
    ]),
    ...linear('mixer.shared_experts.up_proj', 'ffn_up_shexp', [shared, hidden], { bias: false }),
    ...linear('mixer.shared_experts.down_proj', 'ffn_down_shexp', [hidden, shared], { bias: false }),
    ...(latent === undefined
      ? []
      : [
          ...linear('mixer.fc1_latent_proj', 'ffn_latent_down', [latent, hidden], { bias: false }),
          ...linear('mixer.fc2_latent_proj', 'ffn_latent_up', [hidden, latent], { bias: false }),
        ]),
  ]
}

/** The layer that predicts a further token: attention, then experts. */
function predictionTensors(dimensions: Dimensions, layer: number, experts: readonly TensorMapping[]): TensorMapping[] {
  const { hidden } = dimensions
  return within(`model.layers.${layer}`, `blk.${layer}`, [
    norm('enorm', 'nextn.enorm', hidden),
    norm('hnorm', 'nextn.hnorm', hidden),
    ...linear('eh_proj', 'nextn.eh_proj', [hidden, 2 * hidden], { bias: false }),
    norm('norm', 'attn_norm', hidden),
    ...attentionTensors(dimensions),
    norm('moe_norm', 'post_attention_norm', hidden),
    ...experts,
    norm('final_layernorm', 'nextn.shared_head_norm', hidden),
  ])
}
