import { countKey, dimensionsOf, present } from '../base.js'
import { size, word } from '../config.js'
import { encoderKeys, isClassifier, labelCount, withFirst } from '../encoder.js'
import { text, uint32 } from '../metadata.js'
import { blocks, layerNorm, linear, norm, tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** ModernBERT: rotated positions, a window in most layers, gated feed-forward parts. */
export const modernBert: Family = {
  architecture: 'modern-bert',
  classes: ['ModernBertModel', 'ModernBertForMaskedLM', 'ModernBertForSequenceClassification'],
  fields: {
    defaults: {
      classifier_activation: 'gelu',
      classifier_pooling: 'cls',
      global_attn_every_n_layers: 3,
      global_rope_theta: 160_000,
      hidden_activation: 'gelu',
      local_attention: 128,
      local_rope_theta: 10_000,
      max_position_embeddings: 8192,
      norm_eps: 1e-5,
    },
    supported: {
      hidden_activation: ['gelu', 'silu'],
      norm_bias: [false],
      classifier_bias: [false],
      layer_types: (value, { fields }) =>
        Array.isArray(value) &&
        value.every(
          (type, layer) => (type === 'full_attention') === (layer % Number(fields['global_attn_every_n_layers']) === 0),
        ),
    },
    ignored: [
      'compile_cls_head',
      'decoder_bias',
      'deterministic_flash_attn',
      'mlp_dropout',
      'reference_compile',
      'repad_logits_with_grad',
      'sparse_pred_ignore_index',
      'sparse_prediction',
      'tie_word_embeddings',
    ],
  },
  keys: async (config) => [
    ...(await encoderKeys(config)),
    ...countKey(config, 'attention.sliding_window', 'local_attention'),
    ...countKey(config, 'attention.sliding_window_pattern', 'global_attn_every_n_layers'),
    ['rope.scaling.type', text('none')],
    ['vocab_size', uint32(config.get(size, 'vocab_size'))],
    ...present('hidden_activation', config.find(word, 'hidden_activation'), text),
  ],
  tensors: (config) => {
    const { layers, vocabulary, hidden, feedForward } = dimensionsOf(config)
    const hasHead = config.hasTensor('head.dense.weight')
    return [
      tensor('embeddings.tok_embeddings.weight', 'token_embd.weight', [vocabulary, hidden]),
      norm('embeddings.norm', 'token_embd_norm', hidden),
      ...blocks('layers', layers, (layer) => [
        // The norm behind the embedding stands before the first layer, too.
        ...(layer === 0 ? [] : [norm('attn_norm', 'attn_norm', hidden)]),
        ...linear('attn.Wqkv', 'attn_qkv', [3 * hidden, hidden], { bias: false }),
        ...linear('attn.Wo', 'attn_output', [hidden, hidden], { bias: false }),
        norm('mlp_norm', 'ffn_norm', hidden),
        ...linear('mlp.Wi', 'ffn_up', [2 * feedForward, hidden], { bias: false }),
        ...linear('mlp.Wo', 'ffn_down', [hidden, feedForward], { bias: false }),
      ]),
      norm('final_norm', 'output_norm', hidden),
      ...(hasHead || isClassifier(config)
        ? [...linear('head.dense', 'cls', [hidden, hidden]), ...layerNorm('head.norm', 'cls.norm', hidden, { bias: 'optional' })]
        : []),
      ...(isClassifier(config) ? linear('classifier', 'cls.output', [labelCount(config, 'classifier'), hidden]) : []),
    ]
  },
  quirks: {
    rename: (name) => name.replace(/^model\./, ''),
    leaveOut: (name) => (name.startsWith('decoder.') ? 'of the masked language modeling (MLM) head' : undefined),
    preNames: { 'gpt-2': 'modern-bert' },
    adjustTokenizer: (entries) => withFirst(entries, 'add_bos_token', 'add_eos_token', 'add_sep_token'),
  },
}
