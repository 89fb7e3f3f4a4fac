import * as v from 'valibot'
import { baseKeys, countKey, counts, dimensionsOf, floatKey, names, present } from '../base.js'
import { count, type Fields, flag, isFields, listOf, type ModelConfig, size, word } from '../config.js'
import { bool, uint32 } from '../metadata.js'
import {
  hasExperts,
  type Kind,
  kindsOf,
  layersOf,
  oneName,
  predictionsOf,
  stateSpaceOf,
  storedPredictions,
  tensorsOf,
  vocabulary,
} from '../nemotron-layers.js'
import { stepFields, unclippedStep } from '../state-space.js'
import type { Entry, Family, FieldTable } from '../types.js'
import { words } from '../words.js'

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
