import type { MetadataValue } from '../gguf/types.js'
import { chatTemplates } from './chat-template.js'
import { specialTokenEntries } from './special-token-entries.js'
import type { TokenizerEntry, TokenizerFiles, TokenizerMetadata } from './types.js'

/** Tokens with scores: the higher, the earlier (BPE) or the likelier (Unigram). One of each for every id. */
export interface ScoredVocabulary {
  readonly tokens: readonly string[]
  readonly scores: readonly number[]
  /** From tokenTypes. */
  readonly types: readonly number[]
}

export interface ScoredTokenizer {
  /** tokenizer.ggml.model: `llama` for BPE, `t5` for Unigram. */
  readonly model: 'llama' | 't5'
  readonly vocabulary: ScoredVocabulary
  /** Whether a blank is put before a text. */
  readonly addSpacePrefix: boolean
  readonly removeExtraWhitespaces: boolean
  /** SentencePiece's table of normalization; empty for none. */
  readonly charsmap: Uint8Array
  readonly notes: readonly string[]
}

/** The metadata of a tokenizer with scores, in the order of llama.cpp's converter (_set_vocab_sentencepiece, and set_vocab of T5). */
export function scoredMetadata(files: TokenizerFiles, tokenizer: ScoredTokenizer): TokenizerMetadata {
  const { vocabulary, model, addSpacePrefix, charsmap } = tokenizer
  const { tokens, scores, types } = vocabulary
  const templates = chatTemplates(files)
  const special = specialTokenEntries(files, { tokens, addedTokens: addedOf(vocabulary), template: templates.text })
  const text = (value: string): MetadataValue => ({ type: 'string', value })
  const bool = (value: boolean): MetadataValue => ({ type: 'bool', value })
  const key = (name: string): string => `tokenizer.ggml.${name}`
  const unigram: TokenizerEntry[] = [
    [key('add_space_prefix'), bool(addSpacePrefix)],
    [key('remove_extra_whitespaces'), bool(tokenizer.removeExtraWhitespaces)],
    ...(charsmap.byteLength === 0
      ? []
      : [[key('precompiled_charsmap'), { type: 'array', elementType: 'uint8', value: [...charsmap] }] as const]),
  ]
  return {
    entries: [
      [key('model'), text(model)],
      [key('pre'), text('default')],
      [key('tokens'), { type: 'array', elementType: 'string', value: [...tokens] }],
      [key('scores'), { type: 'array', elementType: 'float32', value: scores.map(Math.fround) }],
      [key('token_type'), { type: 'array', elementType: 'int32', value: [...types] }],
      ...(model === 't5' ? unigram : []),
      ...special.entries,
      ...templates.entries,
      // llama.cpp puts a blank before a text unless this key says otherwise.
      ...(model === 'llama' && !addSpacePrefix ? [[key('add_space_prefix'), bool(false)] as const] : []),
    ],
    notes: [...tokenizer.notes, ...special.notes, ...templates.notes],
  }
}

/** Control and user-defined tokens, among which the names of special tokens are looked up. */
function addedOf({ tokens, types }: ScoredVocabulary): { id: number; content: string; special: boolean }[] {
  return tokens.flatMap((content, id) =>
    types[id] === 2 || types[id] === 3 || types[id] === 4 ? [{ id, content, special: types[id] === 3 }] : [],
  )
}
