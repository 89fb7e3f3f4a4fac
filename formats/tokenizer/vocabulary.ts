import { FormatError } from '../format-error.js'
import type { AddedToken } from './added-tokens.js'
import { asArray, asIndex, asObject, asText, isUnicode, type JsonObject } from './json.js'

/** llama.cpp's kinds of tokens (enum llama_token_attr's older numbers, as GGUF stores them). */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

export interface Vocabulary {
  /** One for each id; no text twice. */
  readonly tokens: readonly string[]
  /** The kind of each, from tokenTypes. */
  readonly types: readonly number[]
}

/** More than any vocabulary has, and little enough to make a list of. */
const maxVocabulary = 2 ** 22

/**
 * The ids of a model's own tokens, by text.
 * @throws FormatError TOKENIZER_INVALID where an id is no whole number or stands for two texts.
 */
export function readVocabularyIds(model: JsonObject, file: string): ReadonlyMap<string, number> {
  const vocabulary = asObject(model['vocab'])
  if (vocabulary === undefined) throw invalid(file, 'its model has no vocab')
  const ids = new Map<string, number>()
  const texts = new Map<number, string>()
  for (const [token, id] of Object.entries(vocabulary)) {
    const index = asIndex(id)
    if (index === undefined) throw invalid(file, `the id of the token ${JSON.stringify(token)} is ${JSON.stringify(id)}`)
    if (texts.has(index)) throw invalid(file, `two tokens have the id ${index}`)
    if (!isUnicode(token)) throw invalid(file, `the token ${index} is not Unicode text`)
    texts.set(index, token)
    ids.set(token, index)
  }
  return ids
}

/**
 * The list of tokens: added tokens are special or the user's, ids without a token become unused `[PADn]`.
 * @param ids of the model's own tokens.
 * @param size rows of the model's embedding; by default as many as there are tokens.
 * @param typeOf the kind of a text that has one by what it is, added or not, such as a byte.
 * @throws FormatError TOKENIZER_INVALID where an id lies beyond the size, or two ids have one text.
 */
export function buildVocabulary(
  ids: ReadonlyMap<string, number>,
  addedTokens: readonly AddedToken[],
  size: number | undefined,
  file: string,
  typeOf: (token: string) => number | undefined = () => undefined,
): Vocabulary {
  const byId = new Map([...ids].map(([text, id]) => [id, text]))
  const added = new Map(addedTokens.map((token) => [token.id, token]))
  for (const { id, content } of addedTokens) byId.set(id, content)
  const count = vocabularySize([...byId.keys()], size, file)
  const texts = new Set(byId.values())
  const tokens: string[] = []
  const types: number[] = []
  const put = (token: string, type: number): void => {
    tokens.push(token)
    types.push(type)
  }
  for (let id = 0; id < count; id++) {
    const token = byId.get(id)
    const entry = added.get(id)
    const own = token === undefined ? undefined : typeOf(token)
    if (token === undefined) put(placeholder(id, texts), tokenTypes.unused)
    else if (own !== undefined) put(token, own)
    else if (entry === undefined) put(token, tokenTypes.normal)
    else if (entry.special || looksSpecial(token)) put(token, tokenTypes.control)
    else put(userDefinedText(token, texts), tokenTypes.userDefined)
  }
  requireUnique(tokens, file)
  return { tokens, types }
}

/**
 * How many tokens a vocabulary has.
 * @throws FormatError TOKENIZER_INVALID where an id lies beyond the embedding.
 */
export function vocabularySize(ids: readonly number[], size: number | undefined, file: string): number {
  const highest = ids.reduce((most, id) => Math.max(most, id), -1)
  const count = size ?? highest + 1
  if (highest >= count) throw invalid(file, `it has the token id ${highest}, and the model has ${count} tokens`)
  if (count > maxVocabulary) throw invalid(file, `it has ${count} tokens`)
  return count
}

/** The text of an id that no token has: llama.cpp's converter calls it `[PADn]`, which may be a token of its own. Takes the text. */
export function placeholder(id: number, texts: Set<string>): string {
  let text = `[PAD${id}]`
  for (let more = 1; texts.has(text); more++) text = `[PAD${id}.${more}]`
  texts.add(text)
  return text
}

/** llama.cpp looks for a user-defined token as it stands in the text, with blanks. Two tokens of one text could not be loaded. */
export function userDefinedText(token: string, texts: Set<string>): string {
  const spaced = token.replaceAll('▁', ' ')
  if (spaced === token || texts.has(spaced)) return token
  texts.add(spaced)
  return spaced
}

/**
 * llama.cpp ends where two ids have one text.
 * @throws FormatError TOKENIZER_INVALID, naming both.
 */
export function requireUnique(tokens: readonly string[], file: string): void {
  const ids = new Map<string, number>()
  for (const [id, token] of tokens.entries()) {
    const other = ids.get(token)
    if (other !== undefined) throw invalid(file, `its tokens ${other} and ${id} have the same text, ${JSON.stringify(token)}`)
    ids.set(token, id)
  }
}

/** Some models do not mark control tokens as special. The list is llama.cpp's (does_token_look_special). */
export function looksSpecial(token: string): boolean {
  return /^(<pad>|<mask>|<2mass>|\[@BOS@\]|<\|[^]*\|>|<｜[^]*｜>|<unused[^]*>)$/.test(token)
}

/**
 * Merges as GGUF writes them: the two halves with a space between, so that a space within a half becomes `Ġ`.
 * @throws FormatError TOKENIZER_INVALID.
 */
export function readMerges(model: JsonObject, file: string): string[] {
  const merges = asArray(model['merges'])
  if (merges === undefined || merges.length === 0) throw invalid(file, 'its model has no merges')
  const vocabulary = asObject(model['vocab']) ?? {}
  const has = (token: string): boolean => Object.hasOwn(vocabulary, token)
  return merges.map((merge) => {
    if (typeof merge === 'string') {
      const [left = '', right = ''] = merge.split(' ')
      checkMerge(left, right)
      return merge
    }
    const pair = asArray(merge)
    const [left, right] = [asText(pair?.[0]), asText(pair?.[1])]
    if (left === undefined || right === undefined || pair?.length !== 2) {
      throw invalid(file, `the merge ${JSON.stringify(merge)} is not a pair`)
    }
    checkMerge(left, right)
    return `${left.replaceAll(' ', 'Ġ')} ${right.replaceAll(' ', 'Ġ')}`
  })

  /** tokenizers loads no such file; llama.cpp would merge to a text without a token, and fall back to single bytes. */
  function checkMerge(left: string, right: string): void {
    const unknown = [left, right, left + right].find((token) => !has(token))
    if (unknown === undefined) return
    throw invalid(
      file,
      `the merge ${JSON.stringify([left, right])} needs the token ${JSON.stringify(unknown)}, which the vocabulary lacks`,
    )
  }
}

function invalid(file: string, problem: string): FormatError {
  return new FormatError('TOKENIZER_INVALID', { file, problem })
}
