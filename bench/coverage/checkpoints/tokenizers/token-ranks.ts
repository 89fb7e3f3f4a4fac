import { byteNamed } from './byte-level.js'

type Files = Readonly<Record<string, unknown>>

interface TokenizerJson {
  readonly model: { readonly vocab: Readonly<Record<string, number>> }
  readonly added_tokens: readonly { readonly id: number; readonly content: string }[]
}

/**
 * The same byte-level BPE as Kimi's repositories hold it: tiktoken.model, and no tokenizer.json.
 * @param files of a byte-level BPE whose merges follow its ids.
 */
export function tokenRanksFiles({ 'tokenizer.json': json, 'tokenizer_config.json': config }: Files): Files {
  const { ranks, added } = ranksOf(json)
  const own = new Set(added.map(({ id }) => id))
  // A token for each id behind the ranks, so that none is left to what the tokenizer's code calls reserved.
  const highest = Math.max(...own)
  const more = Array.from({ length: 320 - highest - 1 }, (_, index) => ({
    id: highest + 1 + index,
    content: `<|more_${index}|>`,
  }))
  const decoder = Object.fromEntries([...added, ...more].map(({ id, content }) => [id, { content, special: true }]))
  return {
    'tiktoken.model': ranks,
    'tokenizer_config.json': { ...(config as Files), added_tokens_decoder: decoder, tokenizer_class: 'TikTokenTokenizer' },
  }
}

/**
 * The same as the repositories of Qwen's first models and of Hunyuan-A13B hold it: special tokens are in the code alone.
 * @param maxBytes of a token: with two, each is made of two others, as of all tokens of published vocabularies.
 */
export function codedRanksFiles({ 'tokenizer.json': json }: Files, name: string, config: Files, maxBytes?: number): Files {
  return { [name]: ranksOf(json, maxBytes).ranks, 'tokenizer_config.json': config }
}

function ranksOf(
  json: unknown,
  maxBytes = Number.POSITIVE_INFINITY,
): { readonly ranks: string; readonly added: TokenizerJson['added_tokens'] } {
  const { model, added_tokens: added } = json as TokenizerJson
  const own = new Set(added.map(({ id }) => id))
  const ranks = Object.entries(model.vocab)
    .filter(([, id]) => !own.has(id))
    .toSorted(([, a], [, b]) => a - b)
    .map(([token]) => Buffer.from(Array.from(token, byteNamed)))
    .filter(({ length }) => length <= maxBytes)
    .map((token, rank) => `${token.toString('base64')} ${rank}\n`)
  return { ranks: ranks.join(''), added }
}
