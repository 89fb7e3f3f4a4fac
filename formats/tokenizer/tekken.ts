import { FormatError } from '../format-error.js'
import type { MetadataValue } from '../gguf/types.js'
import { showBytes } from './byte-characters.js'
import { chatTemplates } from './chat-template.js'
import { asArray, asIndex, asObject, asText, isUnicode, type JsonObject } from './json.js'
import { recognisePreTokenizer } from './pre-tokenizer.js'
import { checkPreTokenizerName } from './pre-tokenizer-names.js'
import type { TokenizerEntry, TokenizerKind, TokenizerMetadata, TokenizerOptions } from './types.js'
import { placeholder, requireUnique, tokenTypes, vocabularySize } from './vocabulary.js'

/** The file of Mistral's own tokenizer. */
export const tekkenName = 'tekken.json'

/** Special tokens of files that do not list them. Source: Tekkenizer.DEPRECATED_SPECIAL_TOKENS of mistral_common 1.13. */
const oldSpecialTokens =
  '<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CALLS] [IMG] <pad> [IMG_BREAK] [IMG_END] [PREFIX] [MIDDLE] [SUFFIX] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT]'.split(
    ' ',
  )

/**
 * Mistral's tekken.json, byte-level BPE after tiktoken: ranks of tokens in base64, of which as many count as the vocabulary has room for
 * behind the special tokens. Model `gpt2`.
 * Source: Tekkenizer of mistral_common 1.13; MistralVocab of gguf-py, llama.cpp v0.7.0.
 */
export const tekken: TokenizerKind = {
  name: 'tekken',
  detect: ({ tekken, tokenizer }) => tekken !== undefined && tokenizer === undefined,
  metadata(files, options): TokenizerMetadata {
    const file = files.pathOf(tekkenName)
    const tekken = asObject(files.tekken) ?? {}
    const config = asObject(tekken['config']) ?? {}
    const specials = specialTokens(tekken, config, file)
    const ranks = readRanks(tekken, sizeOf(config, 'default_vocab_size', file) - specials.length, file)
    const pre = preTokenizerOf(config, options.pre, file)
    const { tokens, types } = buildTokens(specials, ranks, options, file)
    const idOf = (token: string): TokenizerEntry[1] => {
      const id = specials.indexOf(token)
      if (id === -1) throw invalid(file, `it has no special token ${JSON.stringify(token)}`)
      return { type: 'uint32', value: id }
    }
    const templates = chatTemplates(files)
    const text = (value: string): MetadataValue => ({ type: 'string', value })
    const flag = (value: boolean): MetadataValue => ({ type: 'bool', value })
    return {
      entries: [
        ['tokenizer.ggml.model', text('gpt2')],
        ['tokenizer.ggml.pre', text(pre)],
        ['tokenizer.ggml.merges', { type: 'array', elementType: 'string', value: mergesOf(ranks, file) }],
        ['tokenizer.ggml.bos_token_id', idOf('<s>')],
        ['tokenizer.ggml.eos_token_id', idOf('</s>')],
        ['tokenizer.ggml.unknown_token_id', idOf('<unk>')],
        ['tokenizer.ggml.padding_token_id', idOf('<pad>')],
        ['tokenizer.ggml.tokens', { type: 'array', elementType: 'string', value: tokens }],
        ['tokenizer.ggml.scores', { type: 'array', elementType: 'float32', value: tokens.map(() => 0) }],
        ['tokenizer.ggml.token_type', { type: 'array', elementType: 'int32', value: types }],
        ['tokenizer.ggml.add_bos_token', flag(true)],
        ['tokenizer.ggml.add_eos_token', flag(false)],
        ...templates.entries,
      ],
      notes: [...templates.notes, ...(templates.entries.length === 0 ? [noTemplate] : [])],
    }
  },
}

const noTemplate =
  'There is no chat template beside tekken.json, since mistral_common writes prompts in code: give llama.cpp one (--chat-template-file), or text that is a prompt already.'

/** Texts of the special tokens, by id: those that the file names, then fillers. */
function specialTokens(tekken: JsonObject, config: JsonObject, file: string): string[] {
  const count = sizeOf(config, 'default_num_special_tokens', file)
  const listed = asArray(tekken['special_tokens'])
  if (listed === undefined && !/^v[1237]$/.test(asText(config['version']) ?? '')) {
    throw invalid(file, `it is of version ${JSON.stringify(config['version'] ?? null)} and lists no special_tokens`)
  }
  const named = listed?.map((entry, index) => {
    const token = asText(asObject(entry)?.['token_str'])
    const rank = asIndex(asObject(entry)?.['rank'])
    if (token === undefined || !isUnicode(token) || rank !== index) {
      throw invalid(file, `its special token ${index} lacks its text, or has another rank`)
    }
    return token
  })
  const first = named ?? oldSpecialTokens
  if (first.length > count) throw invalid(file, `it has ${first.length} special tokens, and says ${count}`)
  return Array.from({ length: count }, (_, id) => first[id] ?? `<SPECIAL_${id}>`)
}

function sizeOf(config: JsonObject, name: string, file: string): number {
  const size = asIndex(config[name])
  if (size === undefined || size > maxTokens) throw invalid(file, `its ${name} is ${JSON.stringify(config[name] ?? null)}`)
  return size
}

const maxTokens = 2 ** 22

/**
 * The first tokens as bytes, a character for each, and their ranks.
 * @throws FormatError TOKENIZER_INVALID where one is missing, or ranks do not count from 0, or the first 256 are not the bytes.
 */
function readRanks(tekken: JsonObject, count: number, file: string): ReadonlyMap<string, number> {
  const vocabulary = asArray(tekken['vocab']) ?? []
  if (count < 256 || vocabulary.length < count) {
    throw invalid(file, `it has ${vocabulary.length} tokens besides the special ones, and needs ${count}`)
  }
  const ranks = new Map<string, number>()
  for (const [index, entry] of vocabulary.slice(0, count).entries()) {
    const encoded = asText(asObject(entry)?.['token_bytes'])
    const bytes = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('latin1')
    const isByte = index >= 256 || bytes === String.fromCharCode(index)
    if (bytes === '' || asObject(entry)?.['rank'] !== index || !isByte || ranks.has(bytes)) {
      throw invalid(file, `its token ${index} lacks its bytes, stands twice or has another rank`)
    }
    ranks.set(bytes, index)
  }
  return ranks
}

/** @throws FormatError PRE_TOKENIZER_UNKNOWN where llama.cpp has no such pattern, unless the name is given. */
function preTokenizerOf(config: JsonObject, given: string | undefined, file: string): string {
  if (given !== undefined) return checkPreTokenizerName(given, file)
  const split = { type: 'Split', pattern: { Regex: asText(config['pattern']) }, behavior: 'Isolated', invert: false }
  return recognisePreTokenizer(split, () => false, file).name
}

function buildTokens(
  specials: readonly string[],
  ranks: ReadonlyMap<string, number>,
  options: TokenizerOptions,
  file: string,
): { readonly tokens: readonly string[]; readonly types: readonly number[] } {
  const tokens = [...specials, ...[...ranks.keys()].map(showBytes)]
  const count = vocabularySize([tokens.length - 1], options.vocabularySize, file)
  const types = tokens.map((_, id) => (id < specials.length ? tokenTypes.control : tokenTypes.normal) as number)
  const texts = new Set(tokens)
  for (let id = tokens.length; id < count; id++) {
    tokens.push(placeholder(id, texts))
    types.push(tokenTypes.unused)
  }
  requireUnique(tokens, file)
  return { tokens, types }
}

/** All pairs that each token can be merged from, the parts of lowest ranks first, as transformers turns tiktoken's files into merges. */
function mergesOf(ranks: ReadonlyMap<string, number>, file: string): string[] {
  const merges: string[] = []
  for (const [token, rank] of ranks) {
    if (rank < 256) continue
    const pairs: (readonly [left: number, right: number, at: number])[] = []
    for (let at = 1; at < token.length; at++) {
      const left = ranks.get(token.slice(0, at))
      const right = left === undefined ? undefined : ranks.get(token.slice(at))
      if (left !== undefined && right !== undefined) pairs.push([left, right, at])
    }
    if (pairs.length === 0) throw invalid(file, `its token ${rank} is not made of two others`)
    pairs.sort((a, b) => a[0] - b[0] || a[1] - b[1])
    for (const [, , at] of pairs) merges.push(`${showBytes(token.slice(0, at))} ${showBytes(token.slice(at))}`)
  }
  return merges
}

function invalid(file: string, problem: string): FormatError {
  return new FormatError('TOKENIZER_INVALID', { file, problem })
}
