import { FormatError } from '../format-error.js'
import type { MetadataValue } from '../gguf/types.js'
import { readAddedTokens } from './added-tokens.js'
import { showBytes } from './byte-characters.js'
import { chatTemplates } from './chat-template.js'
import { asObject } from './json.js'
import { mergeParts } from './merge-parts.js'
import { checkPreTokenizerName } from './pre-tokenizer-names.js'
import { specialTokenEntries } from './special-token-entries.js'
import type { TokenizerEntry, TokenizerFiles, TokenizerKind, TokenizerMetadata } from './types.js'
import { placeholder, tokenTypes, vocabularySize } from './vocabulary.js'

/** A file of tiktoken beside a tokenizer whose code lies with the checkpoint. */
export const tokenRanksName = 'tiktoken.model'

const addsStart = 'tokenizer.ggml.add_bos_token'

/** Ids behind the ranks that Kimi's tokenizer gives to tokens, named or reserved. */
const reservedTokens = 256

/** Byte-level BPE as tiktoken writes it down, a token in base64 and its rank a line, in checkpoints of Kimi: model `gpt2`. */
export const tokenRanks: TokenizerKind = {
  name: 'tiktoken',
  detect: ({ tokenRanks: ranks, tokenizer }) => ranks !== undefined && tokenizer === undefined,
  metadata(files, options): TokenizerMetadata {
    const file = files.pathOf(tokenRanksName)
    const pre = preTokenizerOf(files, options.pre, file)
    const ranks = readRanks(files.tokenRanks ?? '', file)
    const vocabulary = new Map([...ranks].map(([token, rank]) => [showBytes(token), rank]))
    const added = readAddedTokens(
      {},
      asObject(files.config) ?? {},
      vocabulary,
      options.vocabularySize,
      files.pathOf('tokenizer_config.json'),
    )
    const byId = new Map<number, { readonly token: string; readonly type: number }>()
    for (const [token, rank] of vocabulary) byId.set(rank, { token, type: tokenTypes.normal })
    for (const { id, content } of added.tokens) byId.set(id, { token: content, type: tokenTypes.control })
    const count = vocabularySize([...byId.keys()], options.vocabularySize, file)
    const texts = new Set([...byId.values()].map(({ token }) => token))
    const tokens: string[] = []
    const types: number[] = []
    for (let id = 0; id < count; id++) {
      const isReserved = id >= ranks.size && id < ranks.size + reservedTokens
      const reserved = { token: `<|reserved_token_${id}|>`, type: tokenTypes.control }
      const { token, type } = byId.get(id) ??
        (isReserved ? reserved : undefined) ?? { token: placeholder(id, texts), type: tokenTypes.unused }
      tokens.push(token)
      types.push(type)
    }
    const templates = chatTemplates(files)
    const special = specialTokenEntries(files, { tokens, addedTokens: added.tokens, template: templates.text })
    const text = (value: string): MetadataValue => ({ type: 'string', value })
    return {
      entries: [
        ['tokenizer.ggml.model', text('gpt2')],
        ['tokenizer.ggml.pre', text(pre)],
        ['tokenizer.ggml.tokens', { type: 'array', elementType: 'string', value: tokens }],
        ['tokenizer.ggml.token_type', { type: 'array', elementType: 'int32', value: types }],
        ['tokenizer.ggml.merges', { type: 'array', elementType: 'string', value: mergesOf(ranks) }],
        ...special.entries.map(([key, value]): TokenizerEntry => (key === addsStart ? [key, startValue(files)] : [key, value])),
        ...templates.entries,
      ],
      notes: [...added.notes, ...special.notes, ...templates.notes],
    }
  },
}

/** Code of this kind puts nothing before a text unless it is told to. */
function startValue({ config }: TokenizerFiles): MetadataValue {
  return { type: 'bool', value: asObject(config)?.['add_bos_token'] === true }
}

/** Kimi's class is the one of which the split is known: it stands in the code beside the file. */
function preTokenizerOf({ config }: TokenizerFiles, given: string | undefined, file: string): string {
  if (given !== undefined) return checkPreTokenizerName(given, file)
  const name = asObject(config)?.['tokenizer_class']
  if (name === 'TikTokenTokenizer') return 'kimi-k2'
  const problem = `its pre-tokenization is in the Python code of its class (${JSON.stringify(name ?? null)})`
  throw new FormatError('PRE_TOKENIZER_UNKNOWN', { file, problem })
}

/**
 * Tokens as bytes, a character for each, and their ranks.
 * @throws FormatError TOKENIZER_INVALID where a line is none, or ranks do not count from 0.
 */
function readRanks(text: string, file: string): ReadonlyMap<string, number> {
  const ranks = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    const [, token, rank] = /^([\w+/]+={0,2}) (\d+)\s*$/.exec(line) ?? []
    if (token === undefined || Number(rank) !== ranks.size) {
      throw new FormatError('TOKENIZER_INVALID', {
        file,
        problem: `its line ${ranks.size + 1} is not a token in base64 and its rank`,
      })
    }
    ranks.set(Buffer.from(token, 'base64').toString('latin1'), ranks.size)
  }
  if (ranks.size === 0) throw new FormatError('TOKENIZER_INVALID', { file, problem: 'it is empty' })
  return ranks
}

/** The two tokens that each is merged from: what the merges of lower rank leave of its bytes. Those that leave more have none. */
function mergesOf(ranks: ReadonlyMap<string, number>): string[] {
  return [...ranks].flatMap(([token, rank]) => {
    if (token.length === 1) return []
    const parts = mergeParts(token.split(''), (left, right) => {
      const found = ranks.get(`${left}${right}`)
      return found !== undefined && found < rank ? found : undefined
    })
    return parts.length === 2 ? [parts.map(showBytes).join(' ')] : []
  })
}
