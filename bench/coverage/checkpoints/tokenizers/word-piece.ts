import { templateProcessing } from './byte-level.js'

const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
const letters = 'abcdefghijklmnopqrstuvwxyz'.split('')
const marks = '.,;:!?\'"-()0123456789'.split('')
const words = [
  'the',
  'of',
  'and',
  'to',
  'in',
  'that',
  'he',
  'shall',
  'unto',
  'for',
  'i',
  'his',
  'a',
  'lord',
  'they',
  'be',
  'is',
  'him',
  'not',
]
const endings = ['s', 'ed', 'ing', 'er', 'th', 'eth', 'en', 'ly', 'es', 'on', 'an', 'at', 'or']

/** BERT's: tokenizer.json, vocab.txt, tokenizer_config.json; special tokens first, `##` before what goes on. */
export function wordPieceFiles(): Readonly<Record<string, unknown>> {
  const pieces = [...letters, ...endings.filter((ending) => ending.length > 1)].map((piece) => `##${piece}`)
  const tokens = [...special, ...marks, ...letters, ...words.filter((word) => word.length > 1), ...pieces]
  const idOf = (token: string): number => tokens.indexOf(token)
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
  return {
    'tokenizer.json': {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: special.map((content) => ({ id: idOf(content), content, ...flags })),
      normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: bertTemplate(idOf),
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
      model: {
        type: 'WordPiece',
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      },
    },
    'tokenizer_config.json': {
      clean_up_tokenization_spaces: true,
      cls_token: '[CLS]',
      do_basic_tokenize: true,
      do_lower_case: true,
      mask_token: '[MASK]',
      model_max_length: 512,
      never_split: null,
      pad_token: '[PAD]',
      sep_token: '[SEP]',
      strip_accents: null,
      tokenize_chinese_chars: true,
      tokenizer_class: 'BertTokenizer',
      unk_token: '[UNK]',
    },
    'vocab.txt': `${tokens.join('\n')}\n`,
  }
}

/** [CLS] A [SEP], and [CLS] A [SEP] B [SEP] for two texts. */
export function bertTemplate(idOf: (token: string) => number): Readonly<Record<string, unknown>> {
  const template = templateProcessing('[CLS]', '[SEP]', idOf)
  const pair = (template['pair'] as unknown[]).filter((_, index) => index !== 3)
  return { ...template, pair }
}
