import { FormatError } from '../format-error.js'
import type { MetadataValue } from '../gguf/types.js'
import { chatTemplateEntries } from './chat-template.js'
import { asObject, type JsonObject } from './json.js'
import { preTokenizerSteps, recognisePreTokenizer } from './pre-tokenizer.js'
import { preTokenizerNames } from './pre-tokenizer-names.js'
import { findSpecialTokens } from './special-tokens.js'
import { buildVocabulary, readAddedTokens, readMerges } from './vocabulary.js'

/** The files of a checkpoint that describe its tokenizer, parsed; undefined where one is missing. */
export interface TokenizerFiles {
  /** What to call tokenizer.json in messages. */
  readonly name: string
  /** tokenizer.json. */
  readonly tokenizer: unknown
  /** tokenizer_config.json. */
  readonly config?: unknown
  /** config.json, for the ids of special tokens. */
  readonly modelConfig?: unknown
  /** The text of chat_template.jinja. */
  readonly chatTemplate?: string | undefined
  /** chat_template.json. */
  readonly chatTemplateJson?: unknown
}

export interface TokenizerOptions {
  /** Entries of the model's embedding: the vocabulary is filled up to it. By default as many as there are tokens. */
  readonly vocabularySize?: number
  /** llama.cpp's name of the pre-tokenizer, where it is not to be recognised. */
  readonly pre?: string | undefined
}

const prefix = 'tokenizer.ggml'

/** The keys that hold the ids of special tokens, in llama.cpp's spelling. */
const idKeys: Readonly<Record<string, string>> = {
  bos: 'bos_token_id',
  eos: 'eos_token_id',
  unk: 'unknown_token_id',
  sep: 'seperator_token_id',
  pad: 'padding_token_id',
  mask: 'mask_token_id',
  eot: 'eot_token_id',
  eom: 'eom_token_id',
}
const addKeys: Readonly<Record<string, string>> = { bos: 'add_bos_token', eos: 'add_eos_token', sep: 'add_sep_token' }

/**
 * GGUF metadata of a byte-level BPE tokenizer, in the order of llama.cpp's converter.
 * @throws FormatError TOKENIZER_INVALID; TOKENIZER_UNSUPPORTED for any other kind; PRE_TOKENIZER_UNKNOWN.
 */
export function tokenizerMetadata(files: TokenizerFiles, options: TokenizerOptions = {}): [string, MetadataValue][] {
  const { name: file } = files
  const tokenizer = asObject(files.tokenizer)
  if (tokenizer === undefined) throw new FormatError('TOKENIZER_INVALID', { file, problem: 'it is not a JSON object' })
  const model = requireByteLevelBpe(tokenizer, file)
  const config = asObject(files.config)
  const addedTokens = readAddedTokens(tokenizer, config ?? {}, file)
  const texts = new Set(addedTokens.map(({ content }) => content))
  if (options.pre !== undefined && !preTokenizerNames.has(options.pre)) {
    throw new FormatError('PRE_TOKENIZER_UNKNOWN', { file, problem: `it is said to be ${JSON.stringify(options.pre)}` })
  }
  const pre = options.pre ?? recognisePreTokenizer(tokenizer['pre_tokenizer'], (text) => texts.has(text), file)
  const { tokens, types } = buildVocabulary(model, addedTokens, options.vocabularySize, file)
  const special = findSpecialTokens(tokenizer, config, asObject(files.modelConfig) ?? {}, addedTokens)
  return [
    [`${prefix}.model`, { type: 'string', value: 'gpt2' }],
    [`${prefix}.pre`, { type: 'string', value: pre }],
    [`${prefix}.tokens`, { type: 'array', elementType: 'string', value: tokens }],
    [`${prefix}.token_type`, { type: 'array', elementType: 'int32', value: types }],
    [`${prefix}.merges`, { type: 'array', elementType: 'string', value: readMerges(model, file) }],
    ...entriesOf(new Map([...special.ids].filter(([, id]) => id < tokens.length)), idKeys, (value) => ({
      type: 'uint32',
      value,
    })),
    ...entriesOf(special.added, addKeys, (value) => ({ type: 'bool', value })),
    ...chatTemplateEntries({
      config: config?.['chat_template'],
      jinja: files.chatTemplate,
      json: asObject(files.chatTemplateJson)?.['chat_template'],
    }),
  ]
}

function entriesOf<Value>(
  found: ReadonlyMap<string, Value>,
  keys: Readonly<Record<string, string>>,
  make: (value: Value) => MetadataValue,
): [string, MetadataValue][] {
  return [...found].flatMap(([kind, value]): [string, MetadataValue][] => {
    const key = keys[kind]
    return key === undefined ? [] : [[`${prefix}.${key}`, make(value)]]
  })
}

function requireByteLevelBpe(tokenizer: JsonObject, file: string): JsonObject {
  const unsupported = (problem: string): FormatError => new FormatError('TOKENIZER_UNSUPPORTED', { file, problem })
  const model = asObject(tokenizer['model'])
  // Files of before 2021 name no type; those that have merges are BPE.
  const type = model?.['type'] ?? (model?.['merges'] === undefined ? undefined : 'BPE')
  if (model === undefined || type !== 'BPE') throw unsupported(`its model is ${JSON.stringify(type ?? null)}`)
  if (model['byte_fallback'] === true) throw unsupported('it is a SentencePiece BPE with byte fallback')
  if (!preTokenizerSteps(tokenizer['pre_tokenizer']).some((step) => step['type'] === 'ByteLevel'))
    throw unsupported('it does not work on bytes (no ByteLevel step)')
  return model
}
