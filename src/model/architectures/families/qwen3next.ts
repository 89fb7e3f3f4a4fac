import { groupedAttention, plusOne } from '../attention.js'
import { baseKeys, countKey, type Dimensions, dimensionsOf } from '../base.js'
import { count, listOf, type ModelConfig, size, word } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { gatedDelta, gatedDeltaKeys, gatedDeltaOf } from '../gated-delta.js'
import { text, uint32 } from '../metadata.js'
import { predictionLayers, predictionTensors } from '../mtp.js'
import { poolingKeys } from '../pooling.js'
import { qwenDefaults } from '../qwen.js'
import { rotatedPart } from '../rope.js'
import { blocks, norm, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family, FieldTable, Quirks } from '../types.js'
import { words } from '../words.js'

const shifted = { transform: plusOne }

/** Source: the Config classes of transformers. */
const defaults = {
  ...qwenDefaults,
  full_attention_interval: 4,
  head_dim: 256,
  linear_conv_kernel_dim: 4,
  linear_key_head_dim: 128,
  linear_num_key_heads: 16,
  linear_num_value_heads: 32,
  linear_value_head_dim: 128,
  num_key_value_heads: 2,
  partial_rotary_factor: 0.25,
}

const supported: FieldTable['supported'] = {
  attn_output_gate: [true],
  mrope_interleaved: [true],
  mtp_num_hidden_layers: (value, config) =>
    value === storedPredictions(config) ||
    `config.json has mtp_num_hidden_layers ${String(value)}, and the checkpoint has ${storedPredictions(config) || 'no'} layers for multi-token prediction: the file has those of the checkpoint.`,
  mtp_use_dedicated_embeddings: [false],
  norm_topk_prob: [true],
  output_gate_type: ['swish', 'silu'],
}

const ignored = ['mamba_ssm_dtype', 'rope.mrope_interleaved']

/** Of linear attention; its small matrices, for steps and decays, have the floor of unknown ones. */
const roles: Family['roles'] = { attn_gate: 'attention-qkv', ssm_out: 'attention-output' }

const quirks: Quirks = {
  layers: blocksOf,
  separableMtp: true,
  rename: (name, config) => mainName(name.replace(/^(?=(?:layers|embed_tokens|norm)\.)/, 'model.'), config),
}

const pictureFields = words(`
  insert_layer_id image_size drop_vision_last_layer downsample_mode merge_kernel_size merger_times patch_size image_start_id image_end_id
  slice_start_id slice_end_id newline_id
`)

const pictureQuirks: Quirks = {
  layers: blocksOf,
  rename: (name) => name.replace(/^(?=(?:layers|embed_tokens|norm)\.)/, 'model.'),
  leaveOut: (name) => (/^(?:model\.)?mtp\./.test(name) ? 'of layers for multi-token prediction' : undefined),
}

const timeLast: Entry = ['rope.section_order', text('zyxt')]

/** Qwen3-Next: linear attention by a gated delta rule, full attention with an output gate in each fourth layer, many experts. */
export const qwen3next: Family = {
  architecture: 'qwen3next',
  classes: ['Qwen3NextForCausalLM'],
  fields: {
    defaults: { ...defaults, decoder_sparse_step: 1, moe_intermediate_size: 512, shared_expert_intermediate_size: 512 },
    derived: layerTypes,
    supported,
    ignored,
  },
  keys: (config) => [...baseKeys(withAll(config)), ...expertKeys(config), ...hybridKeys(config)],
  tensors: (config) => tensorsOf(config, expertTensors(config), { fused: true }),
  roles,
  quirks,
  widths: { feedForward: true, embedding: 'stream' },
}

/** Qwen 3.5, 3.6 and 3.8: as Qwen3-Next without experts, rotated along three axes. */
export const qwen35: Family = {
  architecture: 'qwen35',
  classes: ['Qwen3_5ForConditionalGeneration', 'Qwen3_5ForCausalLM', 'Qwen3_5TextModel'],
  fields: {
    defaults: { ...defaults, num_key_value_heads: 4, linear_num_value_heads: 48 },
    derived: layerTypes,
    supported,
    ignored,
  },
  keys: async (config) => [
    ...baseKeys(withAll(config)),
    ...hybridKeys(config),
    ...sections(config),
    ...(await poolingKeys(config)),
  ],
  tensors: (config) =>
    tensorsOf(config, ({ hidden, feedForward }) => gatedFeedForward('mlp', hidden, feedForward, { bias: false })),
  roles,
  quirks,
  widths: { feedForward: true, embedding: 'stream' },
}

/** The same with experts. */
export const qwen35moe: Family = {
  architecture: 'qwen35moe',
  classes: ['Qwen3_5MoeForConditionalGeneration', 'Qwen3_5MoeForCausalLM'],
  fields: {
    defaults: { ...defaults, moe_intermediate_size: 512, shared_expert_intermediate_size: 512 },
    derived: layerTypes,
    supported,
    ignored,
  },
  keys: (config) => [...baseKeys(withAll(config)), ...expertKeys(config), ...hybridKeys(config), ...sections(config)],
  tensors: (config) => tensorsOf(config, expertTensors(config)),
  roles,
  quirks,
  widths: { feedForward: true, embedding: 'stream' },
}

/** MiniCPM-V 4.6: Qwen 3.5 behind an encoder of pictures. Its layers for multi-token prediction are not converted. */
export const miniCpmV46: Family = {
  ...qwen35,
  classes: ['MiniCPMV4_6ForConditionalGeneration'],
  fields: { ...qwen35.fields, ignored: [...ignored, ...pictureFields] },
  quirks: pictureQuirks,
}

/** MiniCPM-V 4.7: the same, whose third axis of rotation is the time. */
export const miniCpmV47: Family = {
  ...miniCpmV46,
  classes: ['MiniCPMV4_7ForConditionalGeneration'],
  applies: ({ num_experts: experts }) => experts === undefined,
  keys: async (config) => [...(await qwen35.keys(config)), timeLast],
}

/** The same with experts. */
export const miniCpmV47Moe: Family = {
  ...qwen35moe,
  classes: ['MiniCPMV4_7ForConditionalGeneration'],
  applies: ({ num_experts: experts }) => experts !== undefined,
  fields: { ...qwen35moe.fields, ignored: [...ignored, ...pictureFields] },
  keys: async (config) => [...(await qwen35moe.keys(config)), timeLast],
  quirks: pictureQuirks,
}

/** transformers writes them where config.json does not. */
function layerTypes({ num_hidden_layers: layers, full_attention_interval: interval }: FieldTable['defaults'] & object): {
  readonly layer_types?: readonly string[]
} {
  if (typeof layers !== 'number' || typeof interval !== 'number' || layers > 65_536) return {}
  const kind = (layer: number): string => ((layer + 1) % interval === 0 ? 'full_attention' : 'linear_attention')
  return { layer_types: Array.from({ length: layers }, (_, layer) => kind(layer)) }
}

/** Layers for multi-token prediction in the checkpoint, which config.json need not count. */
function storedPredictions({ checkpoint }: Pick<ModelConfig, 'checkpoint'>): number {
  const numbers = checkpoint.names.map((name) => Number(/^(?:model\.)?mtp\.layers\.(\d+)\./.exec(name)?.[1] ?? -1))
  return numbers.reduce((most, number) => Math.max(most, number), -1) + 1
}

/** Those that predict further tokens stand behind the others. The bare text model has none of its own. */
function blocksOf(config: ModelConfig): number {
  return config.get(count, 'num_hidden_layers') + predictions(config)
}

function predictions(config: ModelConfig): number {
  return config.className.endsWith('TextModel') || config.className.startsWith('MiniCPMV')
    ? 0
    : predictionLayers(config, storedPredictions(config))
}

const withAll = (config: ModelConfig): ModelConfig => config.with({ num_hidden_layers: blocksOf(config) })

const ends: Readonly<Record<string, string>> = {
  fc: 'eh_proj',
  pre_fc_norm_embedding: 'enorm',
  pre_fc_norm_hidden: 'hnorm',
  norm: 'shared_head.norm',
}

/** The layers that predict further tokens under the numbers that they will have. */
function mainName(name: string, config: ModelConfig): string {
  const [, rest] = /^(?:model\.)?mtp\.(.+)$/.exec(name) ?? []
  if (rest === undefined) return name
  const layers = config.get(count, 'num_hidden_layers')
  const [, layer, inLayer] = /^layers\.(\d+)\.(.+)$/.exec(rest) ?? []
  if (layer !== undefined) return `model.layers.${layers + Number(layer)}.${inLayer}`
  const [part = '', suffix = ''] = rest.split('.')
  return Object.hasOwn(ends, part) ? `model.layers.${layers}.${ends[part]}.${suffix}` : name
}

function expertKeys(config: ModelConfig): Entry[] {
  return [
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...countKey(config, 'expert_shared_feed_forward_length', 'shared_expert_intermediate_size'),
  ]
}

function hybridKeys(config: ModelConfig): Entry[] {
  const { headLength } = dimensionsOf(withWidth(config))
  const further = predictions(config)
  const recurrent = [...kinds(config).map((kind) => kind === 'linear_attention'), ...Array<boolean>(further).fill(false)]
  return [
    ...(further > 0 ? [['nextn_predict_layers', uint32(further)] as const] : []),
    ...gatedDeltaKeys(config),
    ['attention.recurrent_layers', { type: 'array', elementType: 'bool', value: recurrent }],
    ...countKey(config, 'full_attention_interval', 'full_attention_interval'),
    ['rope.dimension_count', uint32(Math.trunc(headLength * (rotatedPart(config) ?? 0.25)))],
  ]
}

/** transformers' own where the checkpoint has none. */
function sections({ rope }: ModelConfig): Entry[] {
  if (rope.mrope_section !== undefined && rope.mrope_section !== null) return []
  return [['rope.dimension_sections', { type: 'array', elementType: 'int32', value: [11, 11, 10, 0] }]]
}

/** What each layer is. @throws MqError CONFIG_INVALID. */
function kinds(config: ModelConfig): readonly string[] {
  const layers = config.get(count, 'num_hidden_layers')
  const found = config.get(listOf(word), 'layer_types')
  if (found.length !== layers) throw config.invalid(`layer_types has ${found.length} entries for ${layers} layers`)
  const other = found.find((kind) => kind !== 'linear_attention' && kind !== 'full_attention')
  if (other !== undefined) throw config.invalid(`layer_types has ${other}, which this architecture does not have`)
  return found
}

/** Models of experts alone need not say how wide a dense layer is. */
const withWidth = (config: ModelConfig): ModelConfig =>
  config.fields['intermediate_size'] === undefined
    ? config.with({ intermediate_size: config.get(size, 'moe_intermediate_size') })
    : config

function tensorsOf(
  config: ModelConfig,
  feedForward: (dimensions: Dimensions, layer: number) => TensorMapping[],
  options = {},
): TensorMapping[] {
  const dimensions = dimensionsOf(withWidth(config))
  const { layers, hidden, vocabulary, heads, keyValueHeads, headLength } = dimensions
  const recurrent = kinds(config).map((kind) => kind === 'linear_attention')
  const numbers = gatedDeltaOf(config)
  const bare = config.className.endsWith('TextModel') ? config.with({ tie_word_embeddings: true }) : config
  return [
    ...embeddingAndOutputTensors(bare, dimensions, { normTransform: shifted }),
    ...blocks('model.layers', layers + predictions(config), (layer) => [
      norm('input_layernorm', 'attn_norm', hidden, shifted),
      norm('post_attention_layernorm', 'post_attention_norm', hidden, shifted),
      ...(recurrent[layer] === true
        ? gatedDelta(numbers, options)
        : gatedAttention({ hidden, heads, keyValueHeads, headLength })),
      ...feedForward(dimensions, layer),
      ...(layer < layers
        ? []
        : predictionTensors(hidden, vocabulary)
            .filter(({ name }) => layer === layers || !isShared(name))
            .map(shiftedNorm)),
    ]),
  ]
}

/** Further layers share what the first has. */
const isShared = (name: string): boolean => /^(eh_proj|enorm|hnorm|shared_head)\./.test(name)

/** These norms, too, multiply by 1 + weight. */
const shiftedNorm = (mapping: TensorMapping): TensorMapping =>
  mapping.name.endsWith('norm.weight') ? { ...mapping, toGguf: (input) => mapping.toGguf(plusOne(input)) } : mapping

/** Full attention, whose queries come with a gate of the same length, head by head. */
function gatedAttention(dimensions: Pick<Dimensions, 'hidden' | 'heads' | 'keyValueHeads' | 'headLength'>): TensorMapping[] {
  const { hidden, heads, headLength } = dimensions
  return groupedAttention(dimensions, { bias: false, headNorm: headLength, normTransform: plusOne }).map((mapping) =>
    mapping.name === 'self_attn.q_proj.weight' ? { ...mapping, shape: [2 * heads * headLength, hidden] } : mapping,
  )
}

function expertTensors(config: ModelConfig): (dimensions: Dimensions, layer: number) => TensorMapping[] {
  const { layers, hidden } = dimensionsOf(withWidth(config))
  const experts = boundedExperts(config, layers)
  const width = config.get(size, 'moe_intermediate_size')
  const shared = config.get(size, 'shared_expert_intermediate_size')
  return (_, layer) => [
    tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    ...routedExperts('mlp.experts', experts, hidden, width, {
      fused: config.hasTensor(`model.layers.${layer}.mlp.experts.gate_up_proj`),
    }),
    ...gatedFeedForward('mlp.shared_expert', hidden, shared, { bias: false, suffix: '_shexp' }),
    tensor('mlp.shared_expert_gate.weight', 'ffn_gate_inp_shexp.weight', [1, hidden]),
  ]
}
