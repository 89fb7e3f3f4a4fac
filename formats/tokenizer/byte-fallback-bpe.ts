import { FormatError } from '../format-error.js'
import { type AddedToken, readAddedTokens } from './added-tokens.js'
import { bpeModel } from './byte-level-bpe.js'
import { gemma4Metadata } from './gemma4-bpe.js'
import { asArray, asObject, asText, type JsonObject } from './json.js'
import { normalizerSteps } from './normalizer.js'
import { preTokenizerSteps } from './pre-tokenizer.js'
import { type ScoredVocabulary, scoredMetadata } from './scored-vocabulary.js'
import type { TokenizerKind, TokenizerMetadata } from './types.js'
import { buildVocabulary, readVocabularyIds, tokenTypes } from './vocabulary.js'

/** SentencePiece's BPE as tokenizer.json writes it, with bytes for unknown characters: model `llama`. */
export const byteFallbackBpe: TokenizerKind = {
  name: 'BPE with byte fallback',
  detect: ({ tokenizer }) => bpeModel(tokenizer)?.['byte_fallback'] === true,
  metadata(files, options): TokenizerMetadata {
    const file = files.pathOf('tokenizer.json')
    const tokenizer = asObject(files.tokenizer) ?? {}
    const model = bpeModel(tokenizer) ?? {}
    const { addsSpace, problem } = spaceRule(tokenizer)
    if (problem !== undefined && options.pre === undefined) throw new FormatError('PRE_TOKENIZER_UNKNOWN', { file, problem })
    const ids = readVocabularyIds(model, file)
    const added = readAddedTokens(tokenizer, asObject(files.config) ?? {}, ids, options.vocabularySize, file)
    if (options.model === 'gemma4') return gemma4Metadata(files, { ids, added, model, size: options.vocabularySize, file })
    const merges = mergeOrder(model, file)
    const vocabulary = vocabularyOf(ids, added.tokens, merges.order, model, options.vocabularySize, file)
    return scoredMetadata(files, {
      model: 'llama',
      vocabulary,
      addSpacePrefix: addsSpace,
      removeExtraWhitespaces: false,
      charsmap: new Uint8Array(0),
      notes: [...added.notes, ...merges.notes],
    })
  },
}

/** Whether a blank is put before a text, and what else is done to it that llama.cpp does not do. */
function spaceRule(tokenizer: JsonObject): { readonly addsSpace: boolean; readonly problem?: string } {
  let addsSpace = false
  for (const step of normalizerSteps(tokenizer['normalizer'])) {
    if (step['type'] === 'Prepend' && step['prepend'] === '▁') addsSpace = true
    else if (
      !(step['type'] === 'Replace' && asObject(step['pattern'])?.['String'] === ' ' && step['content'] === '▁') &&
      step['type'] !== 'NFC'
    ) {
      return { addsSpace, problem: `it changes text by the normalizer ${JSON.stringify(step['type'] ?? null)}` }
    }
  }
  for (const step of preTokenizerSteps(tokenizer['pre_tokenizer'])) {
    const splitsBlanks =
      step['type'] === 'Split' && asObject(step['pattern'])?.['String'] === ' ' && step['behavior'] === 'MergedWithPrevious'
    if (step['type'] === 'Metaspace') {
      const scheme = step['prepend_scheme'] ?? (step['add_prefix_space'] === false ? 'never' : 'always')
      if (scheme !== 'never') addsSpace = true
      if (step['split'] === true || (step['split'] === undefined && step['prepend_scheme'] === undefined)) {
        return { addsSpace, problem: 'it splits text at spaces before merging (Metaspace)' }
      }
    } else if (!splitsBlanks) {
      return { addsSpace, problem: `it has the step ${JSON.stringify(step['type'] ?? null)}` }
    }
  }
  return { addsSpace }
}

/**
 * When each text is first made by a merge: 0 for the first. llama.cpp merges the pair whose result has the highest score, tokenizers the
 * pair that stands first among the merges; files made from SentencePiece have all merges of one result together, so that both agree.
 */
function mergeOrder(
  model: JsonObject,
  file: string,
): { readonly order: ReadonlyMap<string, number>; readonly notes: readonly string[] } {
  const order = new Map<string, number>()
  let last: string | undefined
  let scattered = 0
  for (const merge of asArray(model['merges']) ?? []) {
    const pair = typeof merge === 'string' ? merge.split(' ') : asArray(merge)?.map(asText)
    const [left, right] = pair ?? []
    if (pair?.length !== 2 || left === undefined || right === undefined) {
      throw new FormatError('TOKENIZER_INVALID', { file, problem: `the merge ${JSON.stringify(merge)} is not a pair` })
    }
    const result = left + right
    if (!order.has(result)) order.set(result, order.size)
    else if (last !== result) scattered++
    last = result
  }
  if (order.size === 0) throw new FormatError('TOKENIZER_INVALID', { file, problem: 'its model has no merges' })
  if (scattered === 0) return { order, notes: [] }
  return {
    order,
    notes: [
      `${scattered} of the merges in tokenizer.json stand apart from others with the same result: llama.cpp, which orders results and not pairs, may split some texts in another way.`,
    ],
  }
}

function vocabularyOf(
  ids: ReadonlyMap<string, number>,
  added: readonly AddedToken[],
  order: ReadonlyMap<string, number>,
  model: JsonObject,
  size: number | undefined,
  file: string,
): ScoredVocabulary {
  const { tokens, types } = buildVocabulary(ids, added, size, file, (text) => {
    if (text === model['unk_token']) return tokenTypes.unknown
    return /^<0x[0-9A-Fa-f]{2}>$/.test(text) ? tokenTypes.byte : undefined
  })
  const scores = tokens.map((text, id) => {
    const type = types[id] as number
    return type === tokenTypes.normal ? -(order.get(text) ?? order.size) : (fixedScores.get(type) ?? 0)
  })
  return { tokens, types, scores }
}

/** As llama.cpp's converter scores tokens that no merge makes; 0 for bytes and the unknown token. */
const fixedScores: ReadonlyMap<number, number> = new Map([
  [tokenTypes.unused, -10_000],
  [tokenTypes.control, -1000],
  [tokenTypes.userDefined, -1000],
])
