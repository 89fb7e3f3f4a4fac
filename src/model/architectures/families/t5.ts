import { multiply, type Recipe } from '../../../recipe/index.js'
import { countKey, fileTypePlace, names } from '../base.js'
import { count, finite, flag, type ModelConfig, size, word } from '../config.js'
import { isTied } from '../embedding-and-output.js'
import { bool, float32, uint32 } from '../metadata.js'
import { linear, norm, silently, type TensorMapping, tensor, within } from '../tensor-mappings.js'
import type { Entry, Family, FieldTable } from '../types.js'

/** Source: T5Config of transformers. */
const fields: FieldTable = {
  defaults: {
    d_ff: 2048,
    d_kv: 64,
    d_model: 512,
    decoder_start_token_id: 0,
    feed_forward_proj: 'relu',
    layer_norm_epsilon: 1e-6,
    num_heads: 8,
    num_layers: 6,
    relative_attention_max_distance: 128,
    relative_attention_num_buckets: 32,
  },
  classDefaults: {
    MT5ForConditionalGeneration: { feed_forward_proj: 'gated-gelu', tie_word_embeddings: false },
    UMT5ForConditionalGeneration: { feed_forward_proj: 'gated-gelu', tie_word_embeddings: false },
    UMT5Model: { feed_forward_proj: 'gated-gelu', tie_word_embeddings: false },
  },
  derived: ({ num_layers: layers }) => ({ num_decoder_layers: layers, tie_word_embeddings: true }),
  supported: {
    dense_act_fn: ['relu', 'gelu_new'],
    feed_forward_proj: ['relu', 'gated-gelu'],
    relative_attention_max_distance: [128],
    scalable_attention: [true],
    is_gated_act: [true, false],
  },
  ignored: ['output_past', 'max_new_tokens'],
}

const roles: Family['roles'] = {
  attn_o: 'attention-output',
  cross_attn_q: 'attention-q',
  cross_attn_k: 'attention-k',
  cross_attn_v: 'attention-v',
  cross_attn_o: 'attention-output',
}

const quirks: Family['quirks'] = {
  leaveOut: (name, { checkpoint }) => {
    if (name.includes('EncDecAttention.relative_attention_bias')) return silently
    // One table under up to three names.
    return tables.includes(name) && name !== tables.find((table) => checkpoint.names.includes(table)) ? silently : undefined
  },
}

/** The embedding of encoder and decoder, by the names that checkpoints give it, in their order. */
const tables = ['decoder.embed_tokens.weight', 'encoder.embed_tokens.weight', 'shared.weight']

/** T5, Flan-T5, mT5, UMT5: an encoder and a decoder. */
export const t5: Family = {
  architecture: 't5',
  classes: [
    'T5ForConditionalGeneration',
    'T5WithLMHeadModel',
    'MT5ForConditionalGeneration',
    'UMT5ForConditionalGeneration',
    'UMT5Model',
  ],
  fields,
  keys: (config) => {
    config.find(word, 'feed_forward_proj')
    return [
      ...headKeys(config),
      ['decoder_block_count', uint32(config.get(count, 'num_decoder_layers'))],
      ...bodyKeys(config),
      ...countKey(config, 'decoder_start_token_id', 'decoder_start_token_id'),
      fileTypePlace,
    ]
  },
  tensors: (config) => {
    const hidden = config.get(size, 'd_model')
    const scale = Math.fround(hidden ** -0.5)
    // transformers 5 always ties, and keeps here what tie_word_embeddings had been.
    const isScaled = config.find(flag, 'scale_decoder_outputs') ?? isTied(config)
    return [
      ...embeddingRow(config),
      ...stack(config, 'encoder', config.get(count, ...names.layers)),
      ...stack(config, 'decoder', config.get(count, 'num_decoder_layers')),
      ...outerNorm('encoder', hidden),
      // The first T5 scales what goes into the output matrix, which is the embedding; llama.cpp does not, so that the norm does.
      ...outerNorm('decoder', hidden, isScaled ? (weight) => multiply(weight, scale) : undefined),
      ...(isTied(config)
        ? []
        : [tensor('lm_head.weight', 'output.weight', [config.get(size, 'vocab_size'), hidden], { optional: true })]),
    ]
  },
  roles,
  quirks: { ...quirks, dropsTiedOutput: true },
}

/** The encoder alone (sentence-t5, the text encoders of image models). */
export const t5Encoder: Family = {
  architecture: 't5encoder',
  classes: ['T5EncoderModel'],
  fields: {
    ...fields,
    supported: { ...fields.supported, scale_decoder_outputs: () => true },
    ignored: [...(fields.ignored ?? []), 'num_decoder_layers', 'tie_word_embeddings'],
  },
  keys: (config) => [...headKeys(config), ...bodyKeys(config), fileTypePlace, ['attention.causal', bool(false)]],
  tensors: (config) => [
    ...embeddingRow(config),
    ...stack(config, 'encoder', config.get(count, ...names.layers)),
    ...outerNorm('encoder', config.get(size, 'd_model')),
  ],
  roles,
  quirks,
}

function headKeys(config: ModelConfig): Entry[] {
  return [
    ['context_length', uint32(config.find(size, 'n_positions') ?? 512)],
    ['embedding_length', uint32(config.get(size, 'd_model'))],
    ['feed_forward_length', uint32(config.get(size, 'd_ff'))],
    ['block_count', uint32(config.get(count, ...names.layers))],
  ]
}

function bodyKeys(config: ModelConfig): Entry[] {
  const epsilon = float32(config.get(finite, 'layer_norm_epsilon'))
  return [
    ['attention.head_count', uint32(config.get(count, 'num_heads'))],
    ['attention.key_length', uint32(config.get(count, 'd_kv'))],
    ['attention.value_length', uint32(config.get(count, 'd_kv'))],
    ['attention.layer_norm_epsilon', epsilon],
    ['attention.relative_buckets_count', uint32(config.get(count, 'relative_attention_num_buckets'))],
    ['attention.layer_norm_rms_epsilon', epsilon],
  ]
}

function embeddingRow(config: ModelConfig): TensorMapping[] {
  const found = tables.find((name) => config.hasTensor(name)) ?? 'shared.weight'
  return [tensor(found, 'token_embd.weight', [config.get(size, 'vocab_size'), config.get(size, 'd_model')])]
}

function outerNorm(from: 'encoder' | 'decoder', hidden: number, transform?: (input: Recipe) => Recipe): TensorMapping[] {
  const options = transform === undefined ? {} : { transform }
  return [norm(`${from}.final_layer_norm`, `${from.slice(0, 3)}.output_norm`, hidden, options)]
}

/** The blocks of one side: attention to itself, to the encoder's states (decoder only), and a feed-forward part. */
function stack(config: ModelConfig, from: 'encoder' | 'decoder', layers: number): TensorMapping[] {
  const hidden = config.get(size, 'd_model')
  const width = config.get(size, 'd_ff')
  const heads = config.get(count, 'num_heads')
  const inner = heads * config.get(count, 'd_kv')
  const buckets = config.get(count, 'relative_attention_num_buckets')
  const attention = (name: string, to: string): TensorMapping[] => [
    ...linear(`${name}.q`, `${to}_q`, [inner, hidden], { bias: false }),
    ...linear(`${name}.k`, `${to}_k`, [inner, hidden], { bias: false }),
    ...linear(`${name}.v`, `${to}_v`, [inner, hidden], { bias: false }),
    ...linear(`${name}.o`, `${to}_o`, [hidden, inner], { bias: false }),
  ]
  const last = from === 'encoder' ? 1 : 2
  const gated = config.hasTensor(`${from}.block.0.layer.${last}.DenseReluDense.wi_0.weight`)
  return Array.from({ length: layers }, (_, layer) =>
    within(`${from}.block.${layer}`, `${from.slice(0, 3)}.blk.${layer}`, [
      norm('layer.0.layer_norm', 'attn_norm', hidden),
      ...attention('layer.0.SelfAttention', 'attn'),
      // T5 has one for all layers, in the first; UMT5 one in each.
      tensor('layer.0.SelfAttention.relative_attention_bias.weight', 'attn_rel_b.weight', [buckets, heads], {
        optional: layer > 0,
      }),
      ...(from === 'decoder'
        ? [norm('layer.1.layer_norm', 'cross_attn_norm', hidden), ...attention('layer.1.EncDecAttention', 'cross_attn')]
        : []),
      norm(`layer.${last}.layer_norm`, 'ffn_norm', hidden),
      ...(gated
        ? [
            ...linear(`layer.${last}.DenseReluDense.wi_0`, 'ffn_gate', [width, hidden], { bias: false }),
            ...linear(`layer.${last}.DenseReluDense.wi_1`, 'ffn_up', [width, hidden], { bias: false }),
          ]
        : linear(`layer.${last}.DenseReluDense.wi`, 'ffn_up', [width, hidden], { bias: false })),
      ...linear(`layer.${last}.DenseReluDense.wo`, 'ffn_down', [hidden, width], { bias: false }),
    ]),
  ).flat()
}
