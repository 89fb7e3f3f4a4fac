import { FormatError } from '../format-error.js'
import { strippingNotes, withinRows } from './added-tokens.js'
import { asArray, asIndex, asObject, asText, type JsonObject } from './json.js'
import { type ScoredVocabulary, scoredMetadata } from './scored-vocabulary.js'
import { looksLikeSentencePiece, readSentencePieceModel, type SentencePieceModel } from './sentencepiece-model.js'
import type { TokenizerFiles, TokenizerKind, TokenizerMetadata, TokenizerOptions } from './types.js'
import { looksSpecial, placeholder, requireUnique, tokenTypes, userDefinedText, vocabularySize } from './vocabulary.js'

/** The scores that llama.cpp's converter gives to added tokens and to places without a token. */
const addedScore = -1000
const unusedScore = -10_000

/** SentencePiece's own file, tokenizer.model: model `llama` for BPE, `t5` for Unigram. */
export const sentencePiece: TokenizerKind = {
  name: 'SentencePiece',
  detect: ({ sentencePiece }) => sentencePiece !== undefined && looksLikeSentencePiece(sentencePiece.bytes),
  metadata(files, options): TokenizerMetadata {
    const { name, bytes } = files.sentencePiece ?? { name: '', bytes: new Uint8Array(0) }
    const file = files.pathOf(name)
    const model = readSentencePieceModel(bytes, file)
    if (model.kind === 'word' || model.kind === 'char') {
      throw new FormatError('TOKENIZER_UNSUPPORTED', { file, problem: `it is a SentencePiece model of the kind ${model.kind}` })
    }
    const vocabulary = vocabularyOf(model, files, options, file)
    return scoredMetadata(files, {
      model: model.kind === 'bpe' ? 'llama' : 't5',
      vocabulary,
      addSpacePrefix: model.addDummyPrefix,
      removeExtraWhitespaces: model.removeExtraWhitespaces,
      charsmap: model.precompiledCharsmap,
      notes: [
        ...withinRows(addedTokensOf(files), options.vocabularySize).notes,
        ...strippingNotes(asObject(files.tokenizer), asObject(files.config)),
        ...(model.kind === 'bpe' ? normalizerNotes(model) : []),
      ],
    })
  },
}

/** llama.cpp's tokenizer for BPE pieces takes text as it is. */
function normalizerNotes({ precompiledCharsmap, removeExtraWhitespaces }: SentencePieceModel): string[] {
  const changes = [
    ...(precompiledCharsmap.byteLength > 0 ? ['normalizes characters (such as NFKC)'] : []),
    ...(removeExtraWhitespaces ? ['collapses repeated spaces'] : []),
  ]
  if (changes.length === 0) return []
  return [
    `SentencePiece ${changes.join(' and ')} before it splits a text, and llama.cpp does not: texts that this changes get other tokens.`,
  ]
}

function vocabularyOf(
  { pieces }: SentencePieceModel,
  files: TokenizerFiles,
  options: TokenizerOptions,
  file: string,
): ScoredVocabulary {
  const decoder = decoderOf(files)
  const added = addedTokensOf(files)
  const count = vocabularySize(
    [pieces.length - 1, ...(options.vocabularySize === undefined ? added.map(({ id }) => id) : [])],
    options.vocabularySize,
    file,
  )
  const slots: ({ text: string; score: number; type: number } | undefined)[] = Array.from({ length: count })
  const texts = new Set([...pieces.map(({ text }) => text), ...added.map(({ content }) => content)])
  // llama.cpp's converter writes what a user defined as normal, which then is merged like any other: SentencePiece finds it first.
  for (const [id, { text, score, type }] of pieces.entries()) {
    // A blank within one never stands in the text that SentencePiece looks at, where blanks are ▁.
    const isLiteral = type === tokenTypes.userDefined && !text.includes(' ')
    if (isLiteral) slots[id] = { text: userDefinedText(text, texts), score, type }
    else slots[id] = { text, score, type: type === tokenTypes.userDefined ? tokenTypes.unused : type }
  }
  const put = (id: number, text: string, type: number): void => {
    if (id < count) slots[id] = { text, score: addedScore, type }
  }
  for (const { id, content } of addedTokensJson(files)) put(id, content, tokenTypes.userDefined)
  for (const [id, { content, special }] of decoder) {
    const control = special || looksSpecial(content)
    put(id, control ? content : userDefinedText(content, texts), control ? tokenTypes.control : tokenTypes.userDefined)
  }
  const filled = slots.map((slot, id) => slot ?? { text: placeholder(id, texts), score: unusedScore, type: tokenTypes.unused })
  const tokens = filled.map(({ text }) => text)
  requireUnique(tokens, file)
  return { tokens, scores: filled.map(({ score }) => score), types: filled.map(({ type }) => type) }
}

/** Of all files, by id: a later file changes the text of an id. */
function addedTokensOf(files: TokenizerFiles): { readonly id: number; readonly content: string }[] {
  const decoder = [...decoderOf(files)].map(([id, { content }]) => ({ id, content }))
  return [...new Map([...addedTokensJson(files), ...decoder].map((token) => [token.id, token])).values()]
}

/** added_tokens.json: ids by text. */
function addedTokensJson(files: TokenizerFiles): { readonly id: number; readonly content: string }[] {
  return Object.entries(asObject(files.addedTokens) ?? {}).flatMap(([content, id]) => {
    const index = asIndex(id)
    return index === undefined ? [] : [{ id: index, content }]
  })
}

/** Added tokens by id: those of tokenizer_config.json, and of tokenizer.json where it names none of that id. */
function decoderOf(files: TokenizerFiles): ReadonlyMap<number, { readonly content: string; readonly special: boolean }> {
  const entries = (asArray(asObject(files.tokenizer)?.['added_tokens']) ?? []).map((entry): [unknown, unknown] => [
    asObject(entry)?.['id'],
    entry,
  ])
  const written = Object.entries(asObject(asObject(files.config)?.['added_tokens_decoder']) ?? {}).map(
    ([id, entry]): [unknown, unknown] => [Number(id), entry],
  )
  const decoder = new Map<number, { readonly content: string; readonly special: boolean }>()
  for (const [id, entry] of [...entries, ...written]) {
    const index = asIndex(id)
    const token: JsonObject | undefined = asObject(entry)
    const content = asText(token?.['content'])
    if (index !== undefined && content !== undefined) decoder.set(index, { content, special: token?.['special'] === true })
  }
  return decoder
}
