import type { Json } from '../spec.js'
import { bytesField, floatField, textField, varintField } from './protobuf.js'

/** Kinds of pieces. Source: sentencepiece_model.proto, github.com/google/sentencepiece. */
export const pieceKinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

export interface Piece {
  readonly text: string
  readonly score: number
  readonly kind: keyof typeof pieceKinds
}

export interface SentencePieceOptions {
  /** BPE by default. */
  readonly model?: 'unigram' | 'bpe'
  /** Puts a space before a text; by default true. */
  readonly dummyPrefix?: boolean
  /** Collapses spaces; by default false, as of the models for text generation. */
  readonly removeExtraSpaces?: boolean
  readonly normalizer?: string
  readonly charsmap?: Uint8Array
  /** Ids of unk, bos, eos, pad; -1 where there is none. */
  readonly ids?: readonly [number, number, number, number]
}

/** The file tokenizer.model: a ModelProto of pieces, trainer_spec and normalizer_spec. */
export function sentencePieceModel(pieces: readonly Piece[], options: SentencePieceOptions = {}): Uint8Array {
  const { model = 'bpe', dummyPrefix = true, removeExtraSpaces = false, normalizer = 'identity', charsmap } = options
  const { ids = [0, 1, 2, -1] } = options
  const unknown = pieces.find(({ kind }) => kind === 'unknown')?.text ?? '<unk>'
  const trainer = [
    ...varintField(3, model === 'bpe' ? 2 : 1),
    ...varintField(4, pieces.length),
    ...varintField(35, pieces.some(({ kind }) => kind === 'byte') ? 1 : 0),
    ...ids.flatMap((id, index) => varintField(40 + index, id)),
    ...textField(45, unknown),
  ]
  const normalization = [
    ...textField(1, normalizer),
    ...(charsmap === undefined ? [] : bytesField(2, charsmap)),
    ...varintField(3, dummyPrefix ? 1 : 0),
    ...varintField(4, removeExtraSpaces ? 1 : 0),
    ...varintField(5, 1),
  ]
  const list = pieces.flatMap(({ text, score, kind }) =>
    bytesField(1, [
      ...textField(1, text),
      ...floatField(2, score),
      ...(kind === 'normal' ? [] : varintField(3, pieceKinds[kind])),
    ]),
  )
  return Uint8Array.from([...list, ...bytesField(2, trainer), ...bytesField(3, normalization)])
}

const merges = '▁ t|h e|i n|▁t he|a n|e r|▁ a|o n|r e|▁ s|e n|▁ o|n d|▁ w|o u|a t|i s|▁t o|in g|▁a nd|▁o f'
  .split('|')
  .map((merge) => merge.split(' ') as [string, string])
const letters = '▁etaoinshrdlucmfwypvbgkTAI.,é世'

/** 256 bytes as pieces. */
const bytePieces: readonly Piece[] = Array.from({ length: 256 }, (_, byte) => ({
  text: `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  score: 0,
  kind: 'byte',
}))

/**
 * Pieces of a BPE as Llama 2's: the special ones, the bytes, merged pieces with falling scores, letters.
 * @param first the special pieces, <unk> among them. @param last further pieces at the end.
 */
export function llamaPieces(first: readonly Piece[], last: readonly Piece[] = []): Piece[] {
  const merged = [...merges.map((pair) => pair.join('')), ...letters.split('')]
  return [...first, ...bytePieces, ...merged.map((text, index): Piece => ({ text, score: -index, kind: 'normal' })), ...last]
}

export const usualFirst: readonly Piece[] = [
  { text: '<unk>', score: 0, kind: 'unknown' },
  { text: '<s>', score: 0, kind: 'control' },
  { text: '</s>', score: 0, kind: 'control' },
]

/** The same vocabulary as tokenizer.json with byte fallback, as the hub has it beside tokenizer.model. */
export function fallbackTokenizer(pieces: readonly Piece[], added: readonly object[], fields: Json = {}): Json {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [
        { SpecialToken: { id: '<s>', type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '<s>', type_id: 1 } },
        { Sequence: { id: 'B', type_id: 1 } },
      ],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(pieces.map(({ text }, id) => [text, id])),
      merges: merges.map((pair) => pair.join(' ')),
    },
    ...fields,
  }
}
