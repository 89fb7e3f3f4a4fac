import { groupedAttention } from '../attention.js'
import { counts, dimensionsOf, present } from '../base.js'
import { count, countOrNone, type Fields, flag, listOf, type ModelConfig, size, word } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { boundedExperts, gatedFeedForward } from '../feed-forward.js'
import { bool, uint32 } from '../metadata.js'
import { rotatedPart } from '../rope.js'
import { type Mamba2Dimensions, mamba2, stepFields, unclippedStep } from '../state-space.js'
import { blocks, norm, type TensorMapping } from '../tensor-mappings.js'
import { type Entry, type Family, type FieldTable, twiceAsWide } from '../types.js'
import { paddedVocabulary } from '../vocabulary.js'
import { expertTensors, fields as graniteFields, graniteKeys, sharedTensors, storedExpertName } from './granite.js'

const stateFields = {
  mamba_d_conv: 4,
  mamba_d_state: 256,
  mamba_expand: 2,
  mamba_n_groups: 1,
  mamba_n_heads: 128,
}

const table: FieldTable = {
  ...graniteFields,
  defaults: {
    ...graniteFields.defaults,
    ...stateFields,
    num_experts_per_tok: 8,
    num_local_experts: 8,
    shared_intermediate_size: 1024,
  },
  derived: ({ num_hidden_layers: layers, num_attention_heads: heads }: Fields): Fields => ({
    num_key_value_heads: heads,
    layer_types: Array.from({ length: Math.min(Number(layers) || 0, 65_536) }, () => 'mamba'),
  }),
  supported: {
    ...graniteFields.supported,
    mamba_conv_bias: [true],
    mamba_proj_bias: [false],
    mamba_d_head: (value, { fields }) =>
      value === 'auto' ||
      Number(value) * Number(fields['mamba_n_heads']) === Number(fields['mamba_expand']) * Number(fields['hidden_size']),
    normalization_function: ['rmsnorm'],
    position_embedding_type: (value, { fields }) => value === (hasStates(fields) ? 'nope' : 'rope'),
    time_step_limit: unclippedStep,
  },
  ignored: ['init_method', 'mamba_chunk_size', ...stepFields],
}

/** Granite 4: Mamba 2 in most layers, attention without rotation in some, experts or not. */
export const graniteHybrid: Family = {
  architecture: 'granitehybrid',
  classes: ['GraniteMoeHybridForCausalLM'],
  applies: hasStates,
  fields: table,
  keys: (config) => hybridKeys(config, { rotated: false }),
  tensors: tensorsOf,
  widths: { feedForward: true, fixed: twiceAsWide },
  quirks: { vocabulary, preNames: { 'llama-bpe': 'dbrx' }, rename: storedExpertName },
}

/** Granite 4 whose layers all have attention: Granite 3 to llama.cpp. */
export const graniteMicro: Family = {
  architecture: 'granite',
  classes: ['GraniteMoeHybridForCausalLM'],
  applies: (fields) => !hasStates(fields) && !hasExperts(fields),
  fields: table,
  keys: (config) => hybridKeys(config, { rotated: true }),
  tensors: tensorsOf,
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: { preNames: { 'llama-bpe': 'dbrx' }, rename: storedExpertName },
}

/** The same with experts. */
export const graniteMoeAttention: Family = {
  ...graniteMicro,
  architecture: 'granitemoe',
  applies: (fields) => !hasStates(fields) && hasExperts(fields),
}

/** Bamba: the same with rotation and dense feed-forward parts, under other names. */
export const bamba: Family = {
  architecture: 'granitehybrid',
  classes: ['BambaForCausalLM'],
  fields: {
    defaults: {
      ...stateFields,
      max_position_embeddings: 262_144,
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      tie_word_embeddings: false,
    },
    supported: {
      mamba_conv_bias: [true],
      mamba_proj_bias: [false],
      mamba_d_head: table.supported?.['mamba_d_head'] as never,
      time_step_limit: unclippedStep,
    },
    ignored: ['mamba_chunk_size', 'num_logits_to_keep', 'z_loss_coefficient', ...stepFields],
  },
  keys: (config) => hybridKeys(config, { rotated: true }),
  tensors: tensorsOf,
  widths: { feedForward: true, fixed: twiceAsWide },
  quirks: { vocabulary },
}

/** Layers that have attention; the others have states. */
function attentionLayers(fields: Fields): (layer: number) => boolean {
  const { layer_types: types, attn_layer_indices: indices, attn_layer_period: period, attn_layer_offset: offset } = fields
  // The second is transformers 5's own name for the first.
  if (Array.isArray(types)) return (layer) => types[layer] === 'attention' || types[layer] === 'full_attention'
  if (Array.isArray(indices)) return (layer) => indices.includes(layer)
  return (layer) => layer % Number(period) === Number(offset)
}

function hasStates(fields: Fields): boolean {
  const layers = Math.min(Number(fields['num_hidden_layers']) || 0, 65_536)
  return Array.from({ length: layers }, (_, layer) => layer).some((layer) => !attentionLayers(fields)(layer))
}

function hasExperts({ num_local_experts: experts = 8 }: Fields): boolean {
  return experts !== 0 && experts !== null
}

function isBamba({ className }: ModelConfig): boolean {
  return className.startsWith('Bamba')
}

/** Bamba rotates the first half of each head. @throws MqError CONFIG_INVALID. */
function rotatedLength(config: ModelConfig): number {
  const { headLength } = dimensionsOf(config)
  const length = Math.trunc(headLength * (rotatedPart(config) ?? 0.5))
  const named = config.find(count, 'attn_rotary_emb') ?? length
  if (named !== length) throw config.invalid(`attn_rotary_emb is ${named}, where partial_rotary_factor makes it ${length}`)
  return length
}

function vocabulary(config: ModelConfig): number {
  return paddedVocabulary(config, 8, 'model.embed_tokens.weight')
}

function stateSpaceOf(config: ModelConfig): Mamba2Dimensions {
  const hidden = config.get(size, 'hidden_size')
  const inner = config.get(count, 'mamba_expand') * hidden
  const groups = config.get(count, 'mamba_n_groups')
  const heads = config.get(count, 'mamba_n_heads')
  if (!Number.isInteger(inner / groups) || !Number.isInteger(inner / heads)) {
    throw config.invalid('mamba_expand, mamba_n_groups and mamba_n_heads do not fit')
  }
  return { hidden, inner, state: config.get(size, 'mamba_d_state'), kernel: config.get(count, 'mamba_d_conv'), heads, groups }
}

/** A dense model's feed-forward part is what one with experts shares among all tokens. */
function feedForwardOf(config: ModelConfig): number {
  const shared = config.find(countOrNone, 'shared_intermediate_size')
  const written = config.get(size, 'intermediate_size')
  return isBamba(config) || hasExperts(config.fields) ? written : (shared ?? written)
}

function hybridKeys(config: ModelConfig, { rotated }: { readonly rotated: boolean }): Entry[] {
  const { inner, kernel, state, heads, groups } = stateSpaceOf(config)
  const { layers, keyValueHeads } = dimensionsOf(config)
  const hasAttention = attentionLayers(config.fields)
  config.find(listOf(word), 'layer_types')
  config.find(listOf(countOrNone), 'attn_layer_indices')
  config.find(countOrNone, 'attn_layer_period', 'attn_layer_offset')
  const groupsOf = Array.from({ length: layers }, (_, layer) => (hasAttention(layer) ? keyValueHeads : 0))
  return [
    ...graniteKeys(config.with({ intermediate_size: feedForwardOf(config) })),
    ...(isBamba(config)
      ? []
      : present('expert_shared_feed_forward_length', config.find(size, 'shared_intermediate_size'), uint32)),
    ['ssm.conv_kernel', uint32(kernel)],
    ['ssm.state_size', uint32(state)],
    ['ssm.group_count', uint32(groups)],
    ['ssm.inner_size', uint32(inner)],
    ['ssm.time_step_rank', uint32(heads)],
    ...(isBamba(config) ? [['rope.dimension_count', uint32(rotatedLength(config))] as const] : []),
    ['attention.head_count_kv', counts(groupsOf)],
    ['rope.scaling.finetuned', bool(rotated)],
    // Without rotation the context has no end, which 2^20 stands for.
    ...(rotated ? [] : [['context_length', uint32(2 ** 20)] as const]),
  ]
}

function tensorsOf(config: ModelConfig): TensorMapping[] {
  const dimensions = dimensionsOf(config)
  const { layers, hidden, feedForward: width } = dimensions
  const hasAttention = attentionLayers(config.fields)
  const experts = isBamba(config) ? 0 : boundedExperts(config, 0)
  const shared = config.find(countOrNone, 'shared_intermediate_size') ?? 0
  const feedForward = isBamba(config)
    ? gatedFeedForward('feed_forward', hidden, width, { bias: false })
    : [
        ...(experts > 0 ? expertTensors(experts, dimensions) : []),
        ...(shared > 0 ? sharedTensors(shared, hidden, experts > 0 ? '_shexp' : '') : []),
      ]
  config.find(flag, 'mamba_conv_bias')
  return [
    ...embeddingAndOutputTensors(
      config,
      { hidden, vocabulary: hasStates(config.fields) ? vocabulary(config) : dimensions.vocabulary },
      { norm: isBamba(config) ? 'final_layernorm' : 'norm' },
    ),
    ...blocks('model.layers', layers, (layer) => [
      norm('input_layernorm', 'attn_norm', hidden),
      norm(isBamba(config) ? 'pre_ff_layernorm' : 'post_attention_layernorm', 'ffn_norm', hidden),
      ...(hasAttention(layer)
        ? groupedAttention(dimensions, { interleave: isBamba(config) ? rotatedLength(config) : true })
        : mamba2('mamba', stateSpaceOf(config), { convolutionBias: true })),
      ...feedForward,
    ]),
  ]
}
