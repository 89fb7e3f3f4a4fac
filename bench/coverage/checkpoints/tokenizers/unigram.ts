import { templateProcessing } from './byte-level.js'
import { precompiledCharsmap } from './charsmap.js'
import { type Piece, sentencePieceModel } from './sentence-piece.js'

type Files = Readonly<Record<string, unknown>>

const parts =
  '▁ e t a o i n s h r d l u c m f w y p v b g k , . th he in an er on re ▁the ▁and ▁of ▁to ▁in ▁that ▁he ▁shall ▁unto ▁for ing ed eth'
const charsmap = precompiledCharsmap({ '\u00a0': ' ', '\uff21': 'A', '\ufb01': 'fi', '\u2026': '...' })

/** Pieces with log probabilities, as many as are asked for. */
function unigramPieces(count: number): Piece[] {
  const texts = parts.split(' ')
  const more = Array.from({ length: count - texts.length }, (_, index) => String.fromCodePoint(0x4e00 + index))
  return [...texts, ...more].map((text, index) => ({ text, score: -2 - index / 32, kind: 'normal' }))
}

const options = { model: 'unigram', removeExtraSpaces: true, normalizer: 'nmt_nfkc', charsmap } as const

/** Of an added token in tokenizer.json. */
const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }

const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true }

/** Of tokenizer.json: what comes before the model. */
const splitAtBlanks = {
  normalizer: { type: 'Precompiled', precompiled_charsmap: Buffer.from(charsmap).toString('base64') },
  pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, metaspace] },
}

/** XLM-RoBERTa's: sentencepiece.bpe.model, whose ids are moved by one, beside a Unigram in tokenizer.json. 320 rows. */
export function xlmRobertaFiles(config: Files = {}): Files {
  const pieces = unigramPieces(315)
  const control = (text: string): Piece => ({ text, score: 0, kind: 'control' })
  const model = sentencePieceModel(
    [{ text: '<unk>', score: 0, kind: 'unknown' }, control('<s>'), control('</s>'), ...pieces],
    options,
  )
  const first = ['<s>', '<pad>', '</s>', '<unk>']
  const vocab = [
    ...first.map((text) => [text, 0] as const),
    ...pieces.map(({ text, score }) => [text, score] as const),
    ['<mask>', 0] as const,
  ]
  const idOf = (token: string): number => vocab.findIndex(([text]) => text === token)
  const template = templateProcessing('<s>', '</s>', idOf, [0, 0])
  const [start, text, end, , second] = template['pair'] as readonly unknown[]
  return {
    'sentencepiece.bpe.model': model,
    'tokenizer.json': {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [...first, '<mask>'].map((content) => ({
        id: idOf(content),
        content,
        ...flags,
        lstrip: content === '<mask>',
      })),
      ...splitAtBlanks,
      post_processor: { ...template, pair: [start, text, end, end, second, end] },
      decoder: metaspace,
      model: { type: 'Unigram', unk_id: 3, vocab, byte_fallback: false },
    },
    'tokenizer_config.json': {
      bos_token: '<s>',
      clean_up_tokenization_spaces: true,
      cls_token: '<s>',
      eos_token: '</s>',
      mask_token: { __type: 'AddedToken', content: '<mask>', lstrip: true, normalized: true, rstrip: false, single_word: false },
      model_max_length: 512,
      pad_token: '<pad>',
      sep_token: '</s>',
      tokenizer_class: 'XLMRobertaTokenizer',
      unk_token: '<unk>',
      ...config,
    },
  }
}

/** T5's: spiece.model, 20 extra ids behind it, fewer pieces than rows. */
export function t5Files(): Files {
  const first: Piece[] = [
    { text: '<pad>', score: 0, kind: 'control' },
    { text: '</s>', score: 0, kind: 'control' },
    { text: '<unk>', score: 0, kind: 'unknown' },
  ]
  const pieces = [...first, ...unigramPieces(287)]
  const extra = Array.from({ length: 20 }, (_, index) => `<extra_id_${19 - index}>`)
  const vocab = [...pieces.map(({ text, score }) => [text, score] as const), ...extra.map((text) => [text, 0] as const)]
  const idOf = (token: string): number => vocab.findIndex(([text]) => text === token)
  return {
    'spiece.model': sentencePieceModel(pieces, { ...options, ids: [2, -1, 1, 0] }),
    'tokenizer.json': {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: ['<pad>', '</s>', '<unk>', ...extra].map((content) => ({ id: idOf(content), content, ...flags })),
      ...splitAtBlanks,
      post_processor: templateProcessing(undefined, '</s>', idOf, [0, 0]),
      decoder: metaspace,
      model: { type: 'Unigram', unk_id: 2, vocab, byte_fallback: false },
    },
    'tokenizer_config.json': {
      additional_special_tokens: extra,
      eos_token: '</s>',
      extra_ids: 20,
      model_max_length: 512,
      name_or_path: 't5-small',
      pad_token: '<pad>',
      tokenizer_class: 'T5Tokenizer',
      unk_token: '<unk>',
    },
  }
}
