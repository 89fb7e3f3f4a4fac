import { FormatError } from '../format-error.js'
import { asArray, asIndex, asObject, asText, type JsonObject } from './json.js'

/** llama.cpp's kinds of tokens (enum llama_token_attr's older numbers, as GGUF stores them). */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

/** A token that is not made by merges. */
export interface AddedToken {
  readonly id: number
  readonly content: string
  readonly special: boolean
}

export interface Vocabulary {
  /** One for each id. */
  readonly tokens: readonly string[]
  /** The kind of each, from tokenTypes. */
  readonly types: readonly number[]
}

/** More than any vocabulary has, and little enough to make a list of. */
const maxVocabulary = 2 ** 22

/** Added tokens of tokenizer.json, then those that only tokenizer_config.json names. */
export function readAddedTokens(tokenizer: JsonObject, config: JsonObject, file: string): AddedToken[] {
  const tokens = new Map<number, AddedToken>()
  const add = (id: unknown, entry: unknown): void => {
    const index = asIndex(id)
    const object = asObject(entry)
    const content = asText(object?.['content'])
    if (index === undefined || content === undefined) throw invalid(file, 'an added token lacks its id or content')
    if (!tokens.has(index)) tokens.set(index, { id: index, content, special: object?.['special'] === true })
  }
  for (const entry of asArray(tokenizer['added_tokens']) ?? []) add(asObject(entry)?.['id'], entry)
  for (const [id, entry] of Object.entries(asObject(config['added_tokens_decoder']) ?? {})) add(Number(id), entry)
  return [...tokens.values()]
}

/**
 * The list of tokens: ids without a token become `[PADn]`, added tokens are special or the user's.
 * @param size entries of the model's embedding; by default as many as there are tokens.
 * @throws FormatError TOKENIZER_INVALID where ids are not whole numbers, stand twice, or lie beyond the size.
 */
export function buildVocabulary(
  model: JsonObject,
  addedTokens: readonly AddedToken[],
  size: number | undefined,
  file: string,
): Vocabulary {
  const vocabulary = asObject(model['vocab'])
  if (vocabulary === undefined) throw invalid(file, 'its model has no vocab')
  const byId = new Map<number, string>()
  for (const [token, id] of Object.entries(vocabulary)) {
    const index = asIndex(id)
    if (index === undefined) throw invalid(file, `the id of the token ${JSON.stringify(token)} is ${JSON.stringify(id)}`)
    if (byId.has(index)) throw invalid(file, `the id ${index} stands for two tokens`)
    byId.set(index, token)
  }
  const added = new Map(addedTokens.map((token) => [token.id, token]))
  for (const { id, content } of addedTokens) byId.set(id, content)

  const highest = [...byId.keys()].reduce((most, id) => Math.max(most, id), -1)
  const count = size ?? highest + 1
  if (highest >= count) throw invalid(file, `it has the token id ${highest}, and the model has ${count} tokens`)
  if (count > maxVocabulary) throw invalid(file, `it has ${count} tokens`)
  const tokens: string[] = []
  const types: number[] = []
  for (let id = 0; id < count; id++) {
    const token = byId.get(id)
    const entry = added.get(id)
    if (token === undefined) {
      tokens.push(`[PAD${id}]`)
      types.push(tokenTypes.unused)
    } else if (entry === undefined) {
      tokens.push(token)
      types.push(tokenTypes.normal)
    } else if (entry.special || looksSpecial(token)) {
      tokens.push(token)
      types.push(tokenTypes.control)
    } else {
      // llama.cpp takes these tokens as they will stand in the text.
      tokens.push(token.replaceAll('▁', ' '))
      types.push(tokenTypes.userDefined)
    }
  }
  return { tokens, types }
}

/** Some models do not mark control tokens as special. The list is llama.cpp's (does_token_look_special). */
function looksSpecial(token: string): boolean {
  return /^(<pad>|<mask>|<2mass>|\[@BOS@\]|<\|[^]*\|>|<｜[^]*｜>|<unused[^]*>)$/.test(token)
}

/**
 * Merges as GGUF writes them: the two halves with a space between, so that a space within a half becomes `Ġ`.
 * @throws FormatError TOKENIZER_INVALID.
 */
export function readMerges(model: JsonObject, file: string): string[] {
  const merges = asArray(model['merges'])
  if (merges === undefined || merges.length === 0) throw invalid(file, 'its model has no merges')
  return merges.map((merge) => {
    if (typeof merge === 'string') return merge
    const pair = asArray(merge)
    const [left, right] = [asText(pair?.[0]), asText(pair?.[1])]
    if (left === undefined || right === undefined || pair?.length !== 2) {
      throw invalid(file, `the merge ${JSON.stringify(merge)} is not a pair`)
    }
    return `${left.replaceAll(' ', 'Ġ')} ${right.replaceAll(' ', 'Ġ')}`
  })
}

function invalid(file: string, problem: string): FormatError {
  return new FormatError('TOKENIZER_INVALID', { file, problem })
}
