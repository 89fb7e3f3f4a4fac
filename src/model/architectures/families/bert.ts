import { type Dimensions, dimensionsOf } from '../base.js'
import { countOrNone, type ModelConfig, size } from '../config.js'
import { classifierTensors, embeddingTensors, encoderKeys, isClassifier, tokenTypes, withTokenTypes } from '../encoder.js'
import { float32 } from '../metadata.js'
import { blocks, layerNorm, linear, silently, type TensorMapping } from '../tensor-mappings.js'
import type { Entry, Family, FieldTable } from '../types.js'

/** Source: the Config classes of transformers. */
const defaults = {
  hidden_size: 768,
  intermediate_size: 3072,
  layer_norm_eps: 1e-12,
  max_position_embeddings: 512,
  num_attention_heads: 12,
  num_hidden_layers: 12,
  type_vocab_size: 2,
}

const gelu = ['gelu', 'gelu_new', 'gelu_fast', 'gelu_python', 'gelu_pytorch_tanh']
const fields: FieldTable = {
  supported: { hidden_act: gelu, position_embedding_type: ['absolute'], is_decoder: [false] },
  ignored: [
    'directionality',
    'output_past',
    'model_max_length',
    'sbert_ce_default_activation_function',
    'tie_word_embeddings',
    ...pooler(),
  ],
}

/** BERT (bge, e5, MiniLM, cross-encoders). */
export const bert: Family = {
  architecture: 'bert',
  classes: ['BertModel', 'BertForMaskedLM', 'BertForSequenceClassification'],
  fields: { ...fields, defaults: { ...defaults, pad_token_id: 0 } },
  keys: encoderKeys,
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    return [
      ...embeddingTensors(dimensions, { positions: { count: positionsOf(config), skipped: 0 }, types: tokenTypes(config) }),
      ...layerTensors(dimensions),
      // The head's first part, which llama.cpp's converter leaves out: a matrix and a tanh, as in all that classify.
      ...classifierTensors(config, dimensions.hidden, { dense: 'pooler.dense', output: 'classifier' }),
    ]
  },
  quirks: quirksOf('bert.'),
}

/** DistilBERT: BERT without kinds of text, under names of its own. */
export const distilbert: Family = {
  architecture: 'bert',
  classes: ['DistilBertModel', 'DistilBertForMaskedLM', 'DistilBertForSequenceClassification'],
  fields: {
    defaults: { dim: 768, hidden_dim: 3072, max_position_embeddings: 512, n_heads: 12, n_layers: 6 },
    // Its positions are a table in the checkpoint whatever it was filled with.
    supported: { activation: gelu },
    ignored: ['qa_dropout', 'seq_classif_dropout', 'sinusoidal_pos_embds', 'tie_weights_', 'output_past', 'tie_word_embeddings'],
  },
  keys: async (config) => [['attention.layer_norm_epsilon', float32(1e-12)], ...(await encoderKeys(config))],
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    if (isClassifier(config)) {
      config.notes.push(
        'The classification head of DistilBERT has a ReLU, and that of llama.cpp a tanh: scores differ from those of the original.',
      )
    }
    return [
      ...embeddingTensors(dimensions, { positions: { count: positionsOf(config), skipped: 0 } }),
      ...layerTensors(dimensions, distilNames),
      ...classifierTensors(config, dimensions.hidden, { dense: 'pre_classifier', output: 'classifier' }),
    ]
  },
  quirks: quirksOf('distilbert.'),
}

/** RoBERTa and XLM-R (bge-m3 and its rerankers): the first positions are no positions. */
export const roberta: Family = {
  architecture: 'bert',
  classes: [
    'RobertaModel',
    'RobertaForSequenceClassification',
    'XLMRobertaModel',
    'XLMRobertaForSequenceClassification',
    'CamembertModel',
  ],
  applies: ({ lora_adaptations: adapters }) => adapters === undefined || adapters === null,
  fields: { ...fields, defaults: { ...defaults, pad_token_id: 1 } },
  keys: keysBehindPadding,
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    return [
      ...embeddingTensors(dimensions, {
        positions: { count: positionsOf(config), skipped: skippedOf(config) },
        types: tokenTypes(config),
      }),
      ...layerTensors(dimensions),
      ...classifierTensors(config, dimensions.hidden, { dense: 'classifier.dense', output: 'classifier.out_proj' }),
    ]
  },
  quirks: quirksOf('roberta.'),
}

/** Jina Embeddings 3: XLM-R with rotated positions and an adapter for each task, without which the file is. */
export const jinaBertV3: Family = {
  architecture: 'jina-bert-v3',
  classes: ['XLMRobertaModel'],
  applies: ({ lora_adaptations: adapters }) => adapters !== undefined && adapters !== null,
  fields: {
    defaults: { ...defaults, pad_token_id: 1 },
    supported: { hidden_act: gelu, position_embedding_type: ['rotary'] },
    ignored: [
      ...(fields.ignored ?? []),
      'emb_pooler',
      'load_trained_adapters',
      'lora_adaptations',
      'lora_alpha',
      'lora_dropout_p',
      'lora_main_params_trainable',
      'lora_rank',
      'matryoshka_dimensions',
      'task_instructions',
      'truncate_dim',
      'use_reentrant',
    ],
  },
  keys: keysBehindPadding,
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    const { layers, hidden, feedForward } = dimensions
    return [
      ...embeddingTensors(dimensions, { norm: 'emb_ln', types: tokenTypes(config) }),
      ...blocks('encoder.layers', layers, () => [
        ...linear('mixer.Wqkv', 'attn_qkv', [3 * hidden, hidden], { bias: true }),
        ...linear('mixer.out_proj', 'attn_output', [hidden, hidden], { bias: true }),
        ...layerNorm('norm1', 'attn_output_norm', hidden),
        ...linear('mlp.fc1', 'ffn_up', [feedForward, hidden], { bias: true }),
        ...linear('mlp.fc2', 'ffn_down', [hidden, feedForward], { bias: true }),
        ...layerNorm('norm2', 'layer_output_norm', hidden),
      ]),
    ]
  },
  quirks: {
    rename: (name) =>
      name
        .replace(/^roberta\./, '')
        .replace('.parametrizations.', '.')
        .replace(/\.original$/, ''),
    leaveOut: (name) => {
      if (name.startsWith('pooler.')) return silently
      return /\.lora_[AB]$/.test(name) ? 'of task adapters (LoRA), which llama.cpp takes as separate files' : undefined
    },
    adjustTokenizer: (entries, _, config) => withTokenTypes(entries, tokenTypes(config)),
  },
}

function pooler(): string[] {
  return ['pooler_fc_size', 'pooler_num_attention_heads', 'pooler_num_fc_layers', 'pooler_size_per_head', 'pooler_type']
}

function positionsOf(config: ModelConfig): number {
  return config.get(size, 'max_position_embeddings')
}

/** Positions count from behind the one of padding. */
function skippedOf(config: ModelConfig): number {
  const padding = config.find(countOrNone, 'pad_token_id')
  return padding === undefined ? 0 : padding + 1
}

function keysBehindPadding(config: ModelConfig): Promise<Entry[]> {
  return encoderKeys(config.with({ max_position_embeddings: positionsOf(config) - skippedOf(config) }))
}

function quirksOf(root: string): Family['quirks'] {
  return {
    rename: (name) =>
      (name.startsWith(root) ? name.slice(root.length) : name).replace(/\.gamma$/, '.weight').replace(/\.beta$/, '.bias'),
    leaveOut: (name, config) => {
      if (name.endsWith('position_ids') || name === 'embeddings.token_type_ids') return silently
      if (/^(cls\.(predictions|seq_relationship)|vocab_|lm_head)/.test(name)) return 'of the masked language modeling (MLM) head'
      return name.startsWith('pooler.') && !isClassifier(config) ? silently : undefined
    },
    adjustTokenizer: (entries, _, config) => withTokenTypes(entries, root === 'distilbert.' ? 1 : tokenTypes(config)),
  }
}

const bertNames = {
  layer: 'encoder.layer',
  query: 'attention.self.query',
  key: 'attention.self.key',
  value: 'attention.self.value',
  output: 'attention.output.dense',
  outputNorm: 'attention.output.LayerNorm',
  up: 'intermediate.dense',
  down: 'output.dense',
  layerNorm: 'output.LayerNorm',
}

const distilNames: typeof bertNames = {
  layer: 'transformer.layer',
  query: 'attention.q_lin',
  key: 'attention.k_lin',
  value: 'attention.v_lin',
  output: 'attention.out_lin',
  outputNorm: 'sa_layer_norm',
  up: 'ffn.lin1',
  down: 'ffn.lin2',
  layerNorm: 'output_layer_norm',
}

function layerTensors({ layers, hidden, feedForward }: Dimensions, names = bertNames): TensorMapping[] {
  const square = [hidden, hidden] as const
  return blocks(names.layer, layers, () => [
    ...linear(names.query, 'attn_q', square, { bias: true }),
    ...linear(names.key, 'attn_k', square, { bias: true }),
    ...linear(names.value, 'attn_v', square, { bias: true }),
    ...linear(names.output, 'attn_output', square, { bias: true }),
    ...layerNorm(names.outputNorm, 'attn_output_norm', hidden),
    ...linear(names.up, 'ffn_up', [feedForward, hidden], { bias: true }),
    ...linear(names.down, 'ffn_down', [hidden, feedForward], { bias: true }),
    ...layerNorm(names.layerNorm, 'layer_output_norm', hidden),
  ])
}
