import { FormatError } from '../format-error.js'
import type { MetadataValue } from '../gguf/types.js'
import { type AddedToken, readAddedTokens } from './added-tokens.js'
import { showBytes } from './byte-characters.js'
import { chatTemplates } from './chat-template.js'
import { asObject } from './json.js'
import { mergeParts } from './merge-parts.js'
import { checkPreTokenizerName } from './pre-tokenizer-names.js'
import { specialTokenEntries } from './special-token-entries.js'
import type { TokenizerEntry, TokenizerFiles, TokenizerKind, TokenizerMetadata } from './types.js'
import { placeholder, tokenTypes, vocabularySize } from './vocabulary.js'

/** Files of tiktoken beside tokenizers whose code lies with the checkpoint: Kimi's, Qwen's first, and Hunyuan's. */
export const tokenRanksNames = ['tiktoken.model', 'qwen.tiktoken', 'hy.tiktoken'] as const

const addsStart = 'tokenizer.ggml.add_bos_token'

/** What the code of a tokenizer's class says, and its files do not. */
interface RankedClass {
  /** llama.cpp's name of how it splits a text. */
  readonly pre: string
  /** The tokens that follow the ranks. */
  readonly special: readonly string[]
  /** How many ids behind the ranks have a token, named or reserved. */
  readonly reserved: number
}

/** Tokens that Qwen's and Hunyuan's code name by number. */
const extras = Array.from({ length: 205 }, (_, index) => `<|extra_${index}|>`)

/** Source: tokenization_kimi.py, tokenization_qwen.py (Qwen-7B), tokenization_hy.py (Hunyuan-A13B) beside the models. */
const classes: Readonly<Record<string, RankedClass>> = {
  TikTokenTokenizer: { pre: 'kimi-k2', special: [], reserved: 256 },
  QWenTokenizer: { pre: 'qwen2', special: ['<|endoftext|>', '<|im_start|>', '<|im_end|>', ...extras], reserved: 0 },
  HYTokenizer: {
    pre: 'hunyuan',
    special: ['<|endoftext|>', '<|startoftext|>', '<|bos|>', '<|eos|>', '<|pad|>', ...extras],
    reserved: 0,
  },
}

/** Byte-level BPE as tiktoken writes it down, a token in base64 and its rank a line: model `gpt2`. */
export const tokenRanks: TokenizerKind = {
  name: 'tiktoken',
  detect: ({ tokenRanks: ranks, tokenizer }) => ranks !== undefined && tokenizer === undefined,
  metadata(files, options): TokenizerMetadata {
    const file = files.pathOf(files.tokenRanks?.name ?? tokenRanksNames[0])
    const known = classOf(files)
    const pre = preTokenizerOf(files, options.pre, file)
    const ranks = readRanks(files.tokenRanks?.text ?? '', file)
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
    for (const [index, token] of known?.special.entries() ?? []) byId.set(ranks.size + index, { token, type: tokenTypes.control })
    for (const { id, content } of added.tokens) byId.set(id, { token: content, type: tokenTypes.control })
    const count = vocabularySize([...byId.keys()], options.vocabularySize, file)
    const texts = new Set([...byId.values()].map(({ token }) => token))
    const tokens: string[] = []
    const types: number[] = []
    for (let id = 0; id < count; id++) {
      const isReserved = id >= ranks.size && id < ranks.size + (known?.reserved ?? 0)
      const reserved = { token: `<|reserved_token_${id}|>`, type: tokenTypes.control }
      const { token, type } = byId.get(id) ??
        (isReserved ? reserved : undefined) ?? { token: placeholder(id, texts), type: tokenTypes.unused }
      tokens.push(token)
      types.push(type)
    }
    const templates = chatTemplates(files)
    const special = specialTokenEntries(files, { tokens, addedTokens: addedOf(byId, ranks.size), template: templates.text })
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

/** Tokens that no merge makes. */
function addedOf(byId: ReadonlyMap<number, { readonly token: string }>, ranks: number): AddedToken[] {
  return [...byId].flatMap(([id, { token }]) => (id < ranks ? [] : [{ id, content: token, special: true }]))
}

function classOf({ config }: TokenizerFiles): RankedClass | undefined {
  const name = asObject(config)?.['tokenizer_class']
  return typeof name === 'string' && Object.hasOwn(classes, name) ? classes[name] : undefined
}

/** How a text is split stands in the code beside the file, and is known of some classes. */
function preTokenizerOf(files: TokenizerFiles, given: string | undefined, file: string): string {
  if (given !== undefined) return checkPreTokenizerName(given, file)
  const known = classOf(files)
  if (known !== undefined) return known.pre
  const name = asObject(files.config)?.['tokenizer_class']
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
