import { FormatError } from '../format-error.js'
import type { MetadataValue } from '../gguf/types.js'
import { readAddedTokens } from './added-tokens.js'
import { chatTemplates } from './chat-template.js'
import { coarserSplitNotes } from './coarser-split.js'
import { mergeNotes } from './ignored-merges.js'
import { asObject, type JsonObject } from './json.js'
import type { KnownPreTokenizer } from './known-pre-tokenizers.js'
import { normalizerEntries, normalizerProblem } from './normalizer.js'
import { preTokenizerSteps, recognisePreTokenizer } from './pre-tokenizer.js'
import { checkPreTokenizerName } from './pre-tokenizer-names.js'
import { specialTokenEntries } from './special-token-entries.js'
import type { TokenizerEntry, TokenizerFiles, TokenizerKind, TokenizerMetadata, TokenizerOptions } from './types.js'
import { buildVocabulary, readMerges, readVocabularyIds } from './vocabulary.js'

const prefix = 'tokenizer.ggml'

/** Byte-level BPE in tokenizer.json, as GPT-2 has it: model `gpt2`. */
export const byteLevelBpe: TokenizerKind = {
  name: 'byte-level BPE',
  detect({ tokenizer }) {
    const model = bpeModel(tokenizer)
    return model !== undefined && model['byte_fallback'] !== true && hasByteLevel(tokenizer)
  },
  metadata: byteLevelMetadata,
}

/** The model of a tokenizer.json that is BPE. Files of before 2021 name no type; those that have merges are BPE. */
export function bpeModel(tokenizer: unknown): JsonObject | undefined {
  const model = asObject(asObject(tokenizer)?.['model'])
  const type = model?.['type'] ?? (model?.['merges'] === undefined ? undefined : 'BPE')
  return type === 'BPE' ? model : undefined
}

function hasByteLevel(tokenizer: unknown): boolean {
  return preTokenizerSteps(asObject(tokenizer)?.['pre_tokenizer']).some((step) => step['type'] === 'ByteLevel')
}

function byteLevelMetadata(files: TokenizerFiles, options: TokenizerOptions): TokenizerMetadata {
  const file = files.pathOf('tokenizer.json')
  const tokenizer = asObject(files.tokenizer) ?? {}
  const model = bpeModel(tokenizer) ?? {}
  for (const field of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    const value = model[field]
    if (typeof value === 'string' && value !== '') {
      throw new FormatError('TOKENIZER_UNSUPPORTED', { file, problem: `its ${field} is ${JSON.stringify(value)}` })
    }
  }
  const config = asObject(files.config)
  const ids = readVocabularyIds(model, file)
  const added = readAddedTokens(tokenizer, config ?? {}, ids, options.vocabularySize, file)
  const addedTexts = new Set(added.tokens.map(({ content }) => content))
  const { name: pre, alone } = preTokenizerOf(tokenizer, addedTexts, options, file)
  const { tokens, types } = buildVocabulary(ids, added.tokens, options.vocabularySize, file)
  const merges = readMerges(model, file)
  const templates = chatTemplates(files)
  const special = specialTokenEntries(files, { tokens, addedTokens: added.tokens, template: templates.text })
  const text = (value: string): MetadataValue => ({ type: 'string', value })
  const entries: TokenizerEntry[] = [
    [`${prefix}.model`, text('gpt2')],
    [`${prefix}.pre`, text(pre)],
    [`${prefix}.tokens`, { type: 'array', elementType: 'string', value: tokens }],
    [`${prefix}.token_type`, { type: 'array', elementType: 'int32', value: types }],
    [`${prefix}.merges`, { type: 'array', elementType: 'string', value: merges }],
    ...special.entries,
    ...templates.entries,
    ...normalizerEntries(tokenizer['normalizer']),
  ]
  const own = [...ids.keys()].filter((text) => !addedTexts.has(text))
  return {
    entries,
    notes: [
      ...added.notes,
      ...splitNotes(config),
      ...coarserSplitNotes(pre, alone, own),
      ...mergeNotes(model, pre, own, merges),
      ...special.notes,
      ...templates.notes,
    ],
  }
}

/** @throws FormatError PRE_TOKENIZER_UNKNOWN where llama.cpp would not give the same tokens, unless the name is given. */
function preTokenizerOf(
  tokenizer: JsonObject,
  texts: ReadonlySet<string>,
  { pre: given, preNames = {} }: TokenizerOptions,
  file: string,
): Pick<KnownPreTokenizer, 'name' | 'alone'> {
  if (given !== undefined) return { name: checkPreTokenizerName(given, file) }
  const problem = normalizerProblem(tokenizer['normalizer']) ?? prefixProblem(tokenizer['pre_tokenizer'])
  if (problem !== undefined) throw new FormatError('PRE_TOKENIZER_UNKNOWN', { file, problem })
  const found = recognisePreTokenizer(tokenizer['pre_tokenizer'], (text) => texts.has(text), file)
  const { name } = found
  return { ...found, name: (Object.hasOwn(preNames, name) ? preNames[name] : undefined) ?? name }
}

/** A split that transformers puts in the place of that of tokenizer.json. */
function splitNotes(config: JsonObject | undefined): string[] {
  return config?.['fix_mistral_regex'] === true
    ? [
        "tokenizer_config.json has fix_mistral_regex: transformers then splits text as Mistral's own tokenizers do, which llama.cpp calls tekken, and the file as tokenizer.json says.",
      ]
    : []
}

/** llama.cpp puts no blank before a text that goes through byte-level BPE. */
function prefixProblem(preTokenizer: unknown): string | undefined {
  const adds = preTokenizerSteps(preTokenizer).some((step) => step['type'] === 'ByteLevel' && step['add_prefix_space'] === true)
  return adds ? 'it adds a space before the text (add_prefix_space)' : undefined
}
