import { FormatError } from '../format-error.js'
import { type AddedToken, readAddedTokens } from './added-tokens.js'
import { asArray, asIndex, asObject, asText, isUnicode, type JsonObject } from './json.js'
import { normalizerSteps } from './normalizer.js'
import { preTokenizerSteps } from './pre-tokenizer.js'
import { type ScoredVocabulary, scoredMetadata } from './scored-vocabulary.js'
import type { TokenizerKind, TokenizerMetadata } from './types.js'
import { placeholder, requireUnique, tokenTypes, userDefinedText, vocabularySize } from './vocabulary.js'

/** Unigram in tokenizer.json, as T5 and XLM-RoBERTa have it: model `t5`. */
export const unigram: TokenizerKind = {
  name: 'Unigram',
  detect: ({ tokenizer }) => asObject(asObject(tokenizer)?.['model'])?.['type'] === 'Unigram',
  metadata(files, options): TokenizerMetadata {
    const file = files.pathOf('tokenizer.json')
    const tokenizer = asObject(files.tokenizer) ?? {}
    const model = asObject(tokenizer['model']) ?? {}
    const rule = normalization(tokenizer, file)
    if (rule.problem !== undefined && options.pre === undefined) {
      throw new FormatError('PRE_TOKENIZER_UNKNOWN', { file, problem: rule.problem })
    }
    const pieces = readPieces(model, file)
    const ids = new Map(pieces.map(({ text }, id) => [text, id]))
    const added = readAddedTokens(tokenizer, asObject(files.config) ?? {}, ids, options.vocabularySize, file)
    return scoredMetadata(files, {
      model: 't5',
      vocabulary: vocabularyOf(pieces, added.tokens, asIndex(model['unk_id']), options.vocabularySize, file),
      addSpacePrefix: rule.addsSpace,
      removeExtraWhitespaces: rule.removesSpaces,
      charsmap: rule.charsmap,
      notes: [
        ...added.notes,
        ...(model['byte_fallback'] === true
          ? ['Unknown characters become bytes in Hugging Face tokenizers; llama.cpp writes the unknown token for them.']
          : []),
      ],
    })
  },
}

interface Piece {
  readonly text: string
  readonly score: number
}

function readPieces(model: JsonObject, file: string): Piece[] {
  const pieces = (asArray(model['vocab']) ?? []).map((entry, id) => {
    const [text, score] = asArray(entry) ?? []
    if (typeof text !== 'string' || typeof score !== 'number' || !isUnicode(text)) {
      throw new FormatError('TOKENIZER_INVALID', { file, problem: `its piece ${id} is not a text and a score` })
    }
    return { text, score }
  })
  if (pieces.length === 0) throw new FormatError('TOKENIZER_INVALID', { file, problem: 'its model has no vocab' })
  return pieces
}

interface Normalization {
  readonly addsSpace: boolean
  readonly removesSpaces: boolean
  readonly charsmap: Uint8Array
  readonly problem?: string
}

/** What is done to a text before it is split, in the terms of SentencePiece. */
function normalization(tokenizer: JsonObject, file: string): Normalization {
  let charsmap: Uint8Array = new Uint8Array(0)
  let removesSpaces = false
  let problem: string | undefined
  for (const step of normalizerSteps(tokenizer['normalizer'])) {
    const table = asText(step['precompiled_charsmap'])
    if (step['type'] === 'Precompiled' && table !== undefined) charsmap = decodeBase64(table, file)
    else if (step['type'] === 'Replace' && asObject(step['pattern'])?.['Regex'] === ' {2,}') removesSpaces = true
    else if (!(step['type'] === 'Strip' || step['type'] === 'Precompiled')) {
      problem ??= `it changes text by the normalizer ${JSON.stringify(step['type'] ?? null)}`
    }
  }
  let addsSpace = false
  for (const step of preTokenizerSteps(tokenizer['pre_tokenizer'])) {
    if (step['type'] === 'Metaspace') {
      addsSpace = (step['prepend_scheme'] ?? (step['add_prefix_space'] === false ? 'never' : 'always')) !== 'never'
    } else if (step['type'] === 'WhitespaceSplit') removesSpaces = true
    else problem ??= `it has the step ${JSON.stringify(step['type'] ?? null)}`
  }
  return { addsSpace, removesSpaces, charsmap, problem }
}

function decodeBase64(text: string, file: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64')
  // Its first number is the size of what follows it.
  if (bytes.byteLength > 0 && (bytes.byteLength < 4 || bytes.readUInt32LE(0) > bytes.byteLength - 4)) {
    throw new FormatError('TOKENIZER_INVALID', { file, problem: 'its precompiled_charsmap is damaged' })
  }
  return bytes
}

function vocabularyOf(
  pieces: readonly Piece[],
  addedTokens: readonly AddedToken[],
  unknown: number | undefined,
  size: number | undefined,
  file: string,
): ScoredVocabulary {
  const added = new Map(addedTokens.map((token) => [token.id, token]))
  const count = vocabularySize([pieces.length - 1, ...added.keys()], size, file)
  const texts = new Set([...pieces.map(({ text }) => text), ...addedTokens.map(({ content }) => content)])
  const slots = Array.from({ length: count }, (_, id): Piece & { type: number } => {
    const entry = added.get(id)
    const text = entry?.content ?? pieces[id]?.text
    const score = pieces[id]?.score ?? 0
    if (text === undefined) return { text: placeholder(id, texts), score: -10_000, type: tokenTypes.unused }
    if (id === unknown) return { text, score, type: tokenTypes.unknown }
    if (entry === undefined) return { text, score, type: tokenTypes.normal }
    if (entry.special) return { text, score, type: tokenTypes.control }
    return { text: userDefinedText(text, texts), score, type: tokenTypes.userDefined }
  })
  const tokens = slots.map(({ text }) => text)
  requireUnique(tokens, file)
  return { tokens, scores: slots.map(({ score }) => score), types: slots.map(({ type }) => type) }
}
