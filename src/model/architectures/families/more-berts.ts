import { reshape, transpose } from '../../../recipe/index.js'
import { groupedAttention } from '../attention.js'
import { baseKeys, countKey, dimensionsOf } from '../base.js'
import { countOrNone, finite, type ModelConfig, size } from '../config.js'
import { preNorms } from '../decoder.js'
import { classifierTensors, embeddingTensors, encoderKeys, tokenTypes, withFirst, withTokenTypes } from '../encoder.js'
import { boundedExperts, gatedFeedForward } from '../feed-forward.js'
import { bool, float32, text, uint32 } from '../metadata.js'
import { poolingKeys, poolingTypes } from '../pooling.js'
import { blocks, layerNorm, linear, norm, silently, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Family, FieldTable } from '../types.js'

const nomicFields: FieldTable = {
  defaults: { max_trained_positions: 2048, layer_norm_epsilon: 1e-12, type_vocab_size: 2 },
  supported: {
    activation_function: (value, config) => value === (config.fields['moe_every_n_layers'] ? 'gelu' : 'swiglu'),
    causal: [false],
    expert_choice_router: [false],
    moe_normalize_expert_weights: [false],
    num_shared_experts: [0],
    parallel_block: [false],
    prenorm: [false],
    rotary_emb_fraction: [1],
    rotary_emb_interleaved: [false],
    rotary_emb_scale_base: [],
    // llama.cpp's converter leaves the scaling of longer contexts out as well: the file is for the trained one.
    rotary_scaling_factor: () => true,
    use_rms_norm: [false],
  },
  ignored: [
    'add_pooling_layer',
    'dense_seq_output',
    'ffn_div',
    'fused_bias_fc',
    'fused_dropout_add_ln',
    'mlp_fc1_bias',
    'mlp_fc2_bias',
    'moe_impl',
    'moe_resid_pdrop',
    'pad_vocab_size_multiple',
    'parallel_block_tied_norm',
    'qkv_proj_bias',
    'reorder_and_upcast_attn',
    'summary_activation',
    'summary_first_dropout',
    'summary_proj_to_labels',
    'summary_type',
    'summary_use_proj',
    'use_xentropy',
  ],
}

const nomicQuirks: Family['quirks'] = {
  leaveOut: (name) => (name.includes('mlp.experts.bias') || name.endsWith('position_ids') ? silently : undefined),
  adjustTokenizer: (entries, _, config) => withTokenTypes(entries, tokenTypes(config)),
}

/** Nomic Embed 1 and 1.5: BERT with rotated positions and gated feed-forward parts. */
export const nomicBert: Family = {
  architecture: 'nomic-bert',
  classes: ['NomicBertModel'],
  applies: (fields) => !fields['moe_every_n_layers'],
  fields: nomicFields,
  keys: (config) => encoderKeys(config.with({ n_positions: trainedContext(config) })),
  tensors: nomicTensors,
  quirks: nomicQuirks,
}

/** Nomic Embed 2: experts in every second layer. */
export const nomicBertMoe: Family = {
  architecture: 'nomic-bert-moe',
  classes: ['NomicBertModel'],
  applies: (fields) => Boolean(fields['moe_every_n_layers']),
  fields: nomicFields,
  keys: async (config) => [
    ...(await encoderKeys(config.with({ n_positions: trainedContext(config) }))),
    ...countKey(config, 'moe_every_n_layers', 'moe_every_n_layers'),
    ...countKey(config, 'expert_used_count', 'moe_top_k'),
  ],
  tensors: nomicTensors,
  quirks: nomicQuirks,
}

/** config.json allows for more positions than were trained. @throws MqError CONFIG_INVALID. */
function trainedContext(config: ModelConfig): number {
  const positions = config.get(size, 'n_positions')
  const trained = config.get(size, 'max_trained_positions')
  if (trained === 2048 && positions === 8192) return 2048
  if (trained === 2048 && positions === 2048) return 512
  throw config.invalid(`n_positions is ${positions} and max_trained_positions ${trained}, and mq knows neither pair`)
}

function nomicTensors(config: ModelConfig): TensorMapping[] {
  const dimensions = dimensionsOf(config)
  const { layers, hidden, feedForward } = dimensions
  const every = config.find(countOrNone, 'moe_every_n_layers') ?? 0
  const experts = every > 0 ? boundedExperts(config, 0) : 0
  const stacked = [experts, feedForward, hidden]
  return [
    ...embeddingTensors(dimensions, { norm: 'emb_ln', types: tokenTypes(config) }),
    ...blocks('encoder.layers', layers, (layer) => [
      ...linear('attn.Wqkv', 'attn_qkv', [3 * hidden, hidden]),
      ...linear('attn.out_proj', 'attn_output', [hidden, hidden]),
      ...layerNorm('norm1', 'attn_output_norm', hidden),
      ...layerNorm('norm2', 'layer_output_norm', hidden),
      ...(every === 0
        ? gatedFeedForward('mlp', hidden, feedForward, { names: ['fc12', 'fc11', 'fc2'] })
        : layer % every === 1
          ? [
              tensor('mlp.router.layer.weight', 'ffn_gate_inp.weight', [experts, hidden]),
              tensor('mlp.experts.mlp.w1', 'ffn_up_exps.weight', [experts * feedForward, hidden], {
                transform: (input) => reshape(input, stacked),
              }),
              tensor('mlp.experts.mlp.w2', 'ffn_down_exps.weight', [experts * feedForward, hidden], {
                transform: (input) => transpose(reshape(input, stacked)),
              }),
            ]
          : [...linear('mlp.fc1', 'ffn_up', [feedForward, hidden]), ...linear('mlp.fc2', 'ffn_down', [hidden, feedForward])]),
    ]),
  ]
}

/** Jina Embeddings 2: BERT with linear biases (ALiBi) in place of positions, and gated feed-forward parts. */
export const jinaBertV2: Family = {
  architecture: 'jina-bert-v2',
  classes: ['JinaBertModel', 'JinaBertForMaskedLM'],
  fields: {
    defaults: { type_vocab_size: 2 },
    supported: {
      hidden_act: ['gelu', 'gelu_new'],
      position_embedding_type: ['alibi'],
      feed_forward_type: ['geglu'],
    },
    ignored: ['emb_pooler', 'model_max_length', 'use_qk_norm'],
  },
  keys: encoderKeys,
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    const { layers, hidden, feedForward } = dimensions
    const square = [hidden, hidden] as const
    return [
      ...embeddingTensors(dimensions, { types: tokenTypes(config) }),
      ...blocks('encoder.layer', layers, () => [
        ...linear('attention.self.query', 'attn_q', square, { bias: true }),
        ...linear('attention.self.key', 'attn_k', square, { bias: true }),
        ...linear('attention.self.value', 'attn_v', square, { bias: true }),
        ...linear('attention.output.dense', 'attn_output', square, { bias: true }),
        ...layerNorm('attention.output.LayerNorm', 'attn_output_norm', hidden),
        ...linear('mlp.gated_layers', 'ffn_up', [2 * feedForward, hidden], { bias: false }),
        ...linear('mlp.wo', 'ffn_down', [hidden, feedForward], { bias: true }),
        ...layerNorm('mlp.layernorm', 'layer_output_norm', hidden),
      ]),
    ]
  },
  quirks: {
    rename: (name) => name.replace(/^bert\./, ''),
    leaveOut: (name) =>
      /^pooler\.|position_ids$/.test(name)
        ? silently
        : name.startsWith('cls.')
          ? 'of the masked language modeling (MLM) head'
          : undefined,
    adjustTokenizer: (entries, _, config) => withTokenTypes(entries, tokenTypes(config)),
  },
}

/** NeoBERT. */
export const neoBert: Family = {
  architecture: 'neo-bert',
  classes: ['NeoBERT', 'NeoBERTLMHead', 'NeoBERTForSequenceClassification'],
  fields: {
    ignored: ['dim_head', 'classifier_init_range', 'decoder_init_range', 'embedding_init_range', 'kwargs', 'classifier_dropout'],
  },
  keys: async (config) => [
    ...(await encoderKeys(config)),
    ['feed_forward_length', uint32(neoWidth(config))],
    ['rope.freq_base', float32(10_000)],
    ['rope.scaling.type', text('none')],
    ['attention.layer_norm_rms_epsilon', float32(config.find(finite, 'norm_eps') ?? 1e-6)],
    ['pooling_type', uint32(poolingTypes.cls)],
  ],
  tensors: (config) => {
    const { layers, vocabulary, hidden } = dimensionsOf(config)
    const width = neoWidth(config)
    return [
      tensor('encoder.weight', 'token_embd.weight', [vocabulary, hidden]),
      norm('layer_norm', 'enc.output_norm', hidden),
      ...blocks('transformer_encoder', layers, () => [
        norm('attention_norm', 'attn_norm', hidden),
        ...linear('qkv', 'attn_qkv', [3 * hidden, hidden], { bias: false }),
        ...linear('wo', 'attn_output', [hidden, hidden], { bias: false }),
        norm('ffn_norm', 'ffn_norm', hidden),
        ...linear('ffn.w12', 'ffn_up', [2 * width, hidden], { bias: false }),
        ...linear('ffn.w3', 'ffn_down', [hidden, width], { bias: false }),
      ]),
      ...classifierTensors(config, hidden, { dense: 'dense', output: 'classifier' }),
    ]
  },
  quirks: {
    rename: (name) => name.replace(/^model\./, ''),
    leaveOut: (name) => (name.startsWith('decoder.') ? 'of the masked language modeling (MLM) head' : undefined),
    adjustTokenizer: (entries) => withTokenTypes(entries, 1),
  },
}

/** Gate and up-projection are two thirds of what config.json says. */
function neoWidth(config: ModelConfig): number {
  return Math.trunc((2 * config.get(size, 'intermediate_size')) / 3)
}

/** EuroBERT and Jina Embeddings 5 nano: a Llama that looks both ways. */
export const euroBert: Family = {
  architecture: 'eurobert',
  classes: ['EuroBertModel', 'JinaEmbeddingsV5Model'],
  fields: {
    defaults: { max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 250_000 },
    derived: ({ hidden_size: hidden, num_attention_heads: heads }) => ({
      num_key_value_heads: heads,
      head_dim: Math.floor(Number(hidden) / Number(heads)),
    }),
    supported: { is_causal: [false] },
    ignored: ['bos_token', 'eos_token', 'mask_token', 'pad_token', 'mask_token_id', 'clm_mask_token_id', 'task_names'],
  },
  keys: async (config) => [
    ...baseKeys(config),
    ['attention.causal', bool(false)],
    ['rope.scaling.type', text('none')],
    ...(await poolingKeys(config)),
  ],
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    const { layers, vocabulary, hidden, feedForward } = dimensions
    return [
      tensor('embed_tokens.weight', 'token_embd.weight', [vocabulary, hidden]),
      ...blocks('layers', layers, () => [
        ...preNorms(dimensions),
        ...groupedAttention(dimensions),
        ...gatedFeedForward('mlp', hidden, feedForward),
      ]),
      norm('norm', 'output_norm', hidden),
    ]
  },
  quirks: {
    rename: (name) => name.replace(/^model\./, ''),
    adjustTokenizer: (entries) => withFirst(entries, 'add_bos_token'),
  },
}
