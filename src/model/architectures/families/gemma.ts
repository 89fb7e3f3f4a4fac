import { groupedAttention, plusOne } from '../attention.js'
import { baseKeys, countKey, type Dimensions, dimensionsOf, fileTypePlace, floatKey, names } from '../base.js'
import { type ModelConfig, showField } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { gatedFeedForward } from '../feed-forward.js'
import { bool, uint32 } from '../metadata.js'
import { poolingKeys } from '../pooling.js'
import { unscaledRope } from '../rope.js'
import { blocks, norm, type TensorMapping } from '../tensor-mappings.js'
import type { Entry, Family, FieldRule, FieldTable } from '../types.js'
import { windowPattern } from '../windows.js'

const shifted = { transform: plusOne }

/** Source: the Config classes of transformers. */
const defaults = { head_dim: 256, rms_norm_eps: 1e-6, rope_theta: 10_000, tie_word_embeddings: true }

const gelu = ['gelu_pytorch_tanh', 'gelu_new', 'gelu_fast']
const supported: FieldTable['supported'] = {
  hidden_act: ['gelu', ...gelu],
  hidden_activation: gelu,
  use_bidirectional_attention: [false],
}

const ignored = ['sliding_window', 'cache_implementation', 'attn_implementation']

/** llama.cpp knows the models of 27B by their number of layers; all others scale queries by the length of a head. */
const queryScale =
  (layersOf27B: number): FieldRule =>
  (value, { fields }) =>
    value === fields['head_dim'] ||
    (fields['num_hidden_layers'] === layersOf27B &&
      value === Number(fields['hidden_size']) / Number(fields['num_attention_heads']))

const gemma3Defaults = {
  ...defaults,
  max_position_embeddings: 131_072,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  sliding_window: 4096,
  rope_theta: 1e6,
  rope_local_base_freq: 10_000,
  vocab_size: 262_208,
}

const gemma3Supported: FieldTable['supported'] = {
  ...supported,
  sliding_window_pattern: [6],
  attn_logit_softcapping: [],
  query_pre_attn_scalar: queryScale(62),
}

/** Gemma 1. */
export const gemma: Family = {
  architecture: 'gemma',
  classes: ['GemmaForCausalLM'],
  fields: {
    defaults: { ...defaults, max_position_embeddings: 8192, num_key_value_heads: 16 },
    supported: { ...supported, ...unscaledRope, rope_theta: [10_000] },
    ignored,
  },
  keys: ownKeys,
  tensors: (config) =>
    tensorsOf(config, ({ hidden }) => [
      norm('input_layernorm', 'attn_norm', hidden, shifted),
      norm('post_attention_layernorm', 'ffn_norm', hidden, shifted),
    ]),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'scaled', heads: 'free' },
  quirks: { alwaysTied: true, adjustTokenizer: turnEnd },
}

/** Gemma 2: norms before and after, soft caps, a window in every second layer. */
export const gemma2: Family = {
  architecture: 'gemma2',
  classes: ['Gemma2ForCausalLM'],
  fields: {
    defaults: {
      ...defaults,
      max_position_embeddings: 8192,
      num_key_value_heads: 4,
      sliding_window: 4096,
      attn_logit_softcapping: 50,
      final_logit_softcapping: 30,
    },
    // llama.cpp takes this base where the file has none, and its converter writes none.
    supported: {
      ...supported,
      ...unscaledRope,
      rope_theta: [10_000],
      query_pre_attn_scalar: queryScale(46),
      layer_types: windowPattern(2),
    },
    ignored,
  },
  keys: (config) => [
    ...ownKeys(config),
    ...softCap(config, 'attn_logit_softcapping'),
    ...softCap(config, 'final_logit_softcapping'),
    ...countKey(config, 'attention.sliding_window', 'sliding_window'),
  ],
  tensors: (config) => tensorsOf(config, fourNorms),
  widths: { feedForward: true, embedding: 'scaled', heads: 'free', attentionFixedAt: 46 },
  quirks: { alwaysTied: true, adjustTokenizer: withoutPrefix },
}

/** A soft cap of logits, for which llama.cpp takes one of its own where a file has none. @throws MqError CONFIG_INVALID. */
function softCap(config: ModelConfig, field: string): Entry[] {
  const value = config.fields[field]
  if (typeof value === 'number' && value > 0) return floatKey(config, field, field)
  throw config.unsupported(`${field} is ${showField(value)}, and llama.cpp caps the logits of this architecture in any case`)
}

/** Gemma 3: norms of queries and keys, five layers with a window to one without, rotation at two bases. */
export const gemma3: Family = {
  architecture: 'gemma3',
  classes: ['Gemma3ForCausalLM', 'Gemma3ForConditionalGeneration'],
  fields: {
    defaults: gemma3Defaults,
    supported: { ...gemma3Supported, layer_types: windowPattern(6) },
    ignored,
  },
  keys: gemma3Keys,
  tensors: (config) =>
    tensorsOf(config, fourNorms, {
      headNorm: true,
    }),
  widths: { feedForward: true, embedding: 'scaled', heads: 'free', attentionFixedAt: 62 },
  quirks: { adjustTokenizer: withoutPrefix },
}

/** EmbeddingGemma: Gemma 3 that attends both ways, whose states are pooled. */
export const gemmaEmbedding: Family = {
  architecture: 'gemma-embedding',
  classes: ['Gemma3TextModel'],
  fields: {
    defaults: { ...gemma3Defaults, vocab_size: 262_144 },
    supported: { ...gemma3Supported, use_bidirectional_attention: [true], layer_types: windowPattern(6) },
    ignored: [...ignored, '_sliding_window_pattern'],
  },
  keys: async (config) => [...gemma3Keys(config), ...(await poolingKeys(config))],
  tensors: async (config) => {
    await noteDense(config)
    return tensorsOf(config, fourNorms, { headNorm: true })
  },
  widths: { feedForward: true },
  quirks: {
    alwaysTied: true,
    rename: (name) => name.replace(/^(?=(?:layers|embed_tokens|norm)\.)/, 'model.'),
    adjustTokenizer: withoutPrefix,
  },
}

/** Layers behind the pooling are no part of the file, as llama.cpp's converter has it by default. */
async function noteDense(config: ModelConfig): Promise<void> {
  const modules = (await config.checkpoint.readText('modules.json')) ?? ''
  if (/models\.Dense"/.test(modules)) {
    config.notes.push('The dense layers after pooling (modules.json) are left out: embeddings are those before these layers.')
  }
}

/** Keys in the order of those families that do not begin with the common ones. */
function ownKeys(config: ModelConfig): Entry[] {
  return [
    ...countKey(config, 'context_length', ...names.context),
    ...countKey(config, 'embedding_length', ...names.hidden),
    ...countKey(config, 'block_count', ...names.layers),
    ...countKey(config, 'feed_forward_length', ...names.feedForward),
    ...countKey(config, 'attention.head_count', ...names.heads),
    ...countKey(config, 'attention.head_count_kv', ...names.keyValueHeads),
    ...floatKey(config, 'attention.layer_norm_rms_epsilon', ...names.rmsNormEpsilon),
    ...countKey(config, 'attention.key_length', 'head_dim'),
    ...countKey(config, 'attention.value_length', 'head_dim'),
    fileTypePlace,
  ]
}

function gemma3Keys(config: ModelConfig): Entry[] {
  return [
    ...baseKeys(config),
    ...floatKey(config, 'final_logit_softcapping', 'final_logit_softcapping'),
    ...countKey(config, 'attention.sliding_window', 'sliding_window'),
  ]
}

function fourNorms({ hidden }: Dimensions): TensorMapping[] {
  return [
    norm('input_layernorm', 'attn_norm', hidden, shifted),
    norm('post_attention_layernorm', 'post_attention_norm', hidden, shifted),
    norm('pre_feedforward_layernorm', 'ffn_norm', hidden, shifted),
    norm('post_feedforward_layernorm', 'post_ffw_norm', hidden, shifted),
  ]
}

function tensorsOf(
  config: ModelConfig,
  norms: (dimensions: Dimensions) => TensorMapping[],
  { headNorm = false } = {},
): TensorMapping[] {
  const dimensions = dimensionsOf(config)
  const { layers, hidden, feedForward, headLength } = dimensions
  return [
    ...embeddingAndOutputTensors(config, dimensions, { normTransform: shifted }),
    ...blocks('model.layers', layers, () => [
      ...norms(dimensions),
      ...groupedAttention(dimensions, { bias: false, ...(headNorm && { headNorm: headLength, normTransform: plusOne }) }),
      ...gatedFeedForward('mlp', hidden, feedForward, { bias: false }),
    ]),
  ]
}

export function withoutPrefix(entries: readonly Entry[]): readonly Entry[] {
  return [...new Map([...entries, ['tokenizer.ggml.add_space_prefix', bool(false)]])]
}

/** The end of a turn comes last: the converter writes it for all of them. */
function turnEnd(entries: readonly Entry[]): readonly Entry[] {
  const tokens = entries.find(([key]) => key === 'tokenizer.ggml.tokens')?.[1]
  const known = tokens?.type === 'array' && tokens.value.length > 107
  return [
    ...entries.filter(([key]) => !/\.(eot_token_id|add_space_prefix)$/.test(key)),
    ...(known ? [['tokenizer.ggml.eot_token_id', uint32(107)] as const] : []),
    ['tokenizer.ggml.add_space_prefix', bool(false)],
  ]
}
