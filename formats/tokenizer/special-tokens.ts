import type { AddedToken } from './added-tokens.js'
import { asArray, asIndex, asObject, asText, type JsonObject } from './json.js'
import { processorIdNotes, readPostProcessor, type SpecialKind, unknownStepNotes, wrappingNotes } from './post-processor.js'
import type { TokenizerFiles } from './types.js'

/** In the order in which llama.cpp's converter looks for them. */
const kinds = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'] as const

/** What is known of a vocabulary when its special tokens are looked for. */
export interface KnownVocabulary {
  /** The text of each id. */
  readonly tokens: readonly string[]
  readonly addedTokens: readonly AddedToken[]
  /** The texts of the chat templates. */
  readonly template: string
}

export interface SpecialTokens {
  /** Ids, in the order of the file. */
  readonly ids: ReadonlyMap<SpecialKind, number>
  /** Whether a tokenizer puts the token around a text by itself, in the order of the file. */
  readonly added: ReadonlyMap<SpecialKind, boolean>
  readonly notes: readonly string[]
}

/**
 * Finds the special tokens. First as llama.cpp's converter does: names from tokenizer_config.json, corrected by what the post-processor
 * puts around a text, looked up among the added tokens; then ids of config.json. Then in the places that the converter passes over: names
 * of tokens that are not added ones, special_tokens_map.json, lists of ids, generation_config.json.
 *
 * Whether bos and eos are added is what tokenizer.json's post-processor does, for the reference library asks nothing else.
 * Source: class SpecialVocab, gguf-py/gguf/vocab.py of llama.cpp v0.7.0; PreTrainedTokenizerBase._from_pretrained of transformers 5.
 */
export function findSpecialTokens(files: TokenizerFiles, vocabulary: KnownVocabulary): SpecialTokens {
  const config = asObject(files.config)
  const tokenizer = asObject(files.tokenizer)
  const names = namesIn(config)
  fallBack(names, 'bos', 'cls')
  fallBack(names, 'eos', 'sep')
  const added = new Map<SpecialKind, boolean>()
  const extra = readPostProcessor(asObject(tokenizer?.['post_processor']), names, added)
  const searched: readonly SpecialKind[] = [...kinds, ...extra]

  const ids = new Map<SpecialKind, number>()
  const notes: string[] = []
  const take = (kind: SpecialKind, id: number | undefined): void => {
    if (id !== undefined && !ids.has(kind) && isToken(kind, id, vocabulary, notes)) ids.set(kind, id)
  }
  const addedId = (name: string | undefined): number | undefined =>
    vocabulary.addedTokens.find(({ content }) => content === name)?.id
  for (const kind of searched) take(kind, addedId(names.get(kind)))
  const modelConfigs = configsIn(asObject(files.modelConfig))
  const generation = asObject(files.generationConfig)
  for (const kind of searched) take(kind, asIndex(modelConfigs.map((config) => config[`${kind}_token_id`]).find(isPresent)))

  const idOf = (name: string | undefined): number | undefined => {
    const id = name === undefined ? -1 : vocabulary.tokens.indexOf(name)
    return id < 0 ? undefined : id
  }
  const mapped = namesIn(asObject(files.specialTokensMap))
  for (const kind of searched) take(kind, idOf(names.get(kind)) ?? idOf(mapped.get(kind)))
  const written = (kind: SpecialKind): number[] =>
    [...modelConfigs, ...(generation === undefined ? [] : [generation])].flatMap((config) => idsIn(config[`${kind}_token_id`]))
  for (const kind of searched)
    take(kind, kind === 'eos' ? turnEnd(written(kind), vocabulary) : firstToken(written(kind), vocabulary))
  // generate() of transformers stops where generation_config.json says, and else where config.json does.
  const generated = idsIn(generation?.['eos_token_id'])
  const lists = modelConfigs.flatMap((config) => asArray(config['eos_token_id']) ?? [])
  takeOtherEnds([...generated, ...idsIn(lists)], ids, vocabulary, notes)
  const single = modelConfigs.map((config) => asIndex(config['eos_token_id'])).filter((id) => id !== undefined)
  if (generated.length === 0) notes.push(...otherEndNotes(single, ids, vocabulary))
  if (!ids.has('eos')) noteMissingEnd(ids, vocabulary, notes)
  readAdds(files, added, notes)
  for (const kind of ['bos', 'eos'] as const) {
    const name = namesIn(config).get(kind)
    if (name !== undefined && idOf(name) === undefined) {
      notes.push(`tokenizer_config.json names ${JSON.stringify(name)} as ${kind}, and the vocabulary has no such token.`)
    }
  }
  const processor = asObject(tokenizer?.['post_processor'])
  notes.push(...unknownStepNotes(processor), ...wrappingNotes(processor), ...processorIdNotes(processor, idOf))
  return { ids, added, notes: [...new Set(notes)] }
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null
}

/** `bos_token` and its like: a text, or an object that holds it. */
function namesIn(config: JsonObject | undefined): Map<SpecialKind, string> {
  const names = new Map<SpecialKind, string>()
  for (const kind of kinds) {
    const entry = config?.[`${kind}_token`]
    const name = asText(entry) ?? asText(asObject(entry)?.['content'])
    if (name !== undefined && name !== '') names.set(kind, name)
  }
  return names
}

function fallBack(names: Map<SpecialKind, string>, kind: SpecialKind, from: SpecialKind): void {
  const name = names.get(from)
  if (!names.has(kind) && name !== undefined) names.set(kind, name)
}

/** config.json, and the part of it that describes the language model of a multimodal one. */
function configsIn(config: JsonObject | undefined): JsonObject[] {
  return [config, ...['text_config', 'llm_config', 'language_config'].map((name) => asObject(config?.[name]))].filter(
    (config) => config !== undefined,
  )
}

/** Ids, written as a number or a list of them. */
function idsIn(value: unknown): number[] {
  return (asArray(value) ?? [value]).map(asIndex).filter((id) => id !== undefined)
}

function isToken(kind: SpecialKind, id: number, { tokens }: KnownVocabulary, notes: string[]): boolean {
  if (id < tokens.length) return true
  notes.push(`The id ${id} of ${kind} lies beyond the vocabulary of ${tokens.length} tokens, and is left out.`)
  return false
}

/** Of several tokens that end a text, the one that the chat template writes most often; else the first. */
function turnEnd(ids: readonly number[], { tokens, template }: KnownVocabulary): number | undefined {
  const uses = (id: number): number => (tokens[id] === undefined ? 0 : template.split(tokens[id]).length - 1)
  return firstToken(
    ids.toSorted((a, b) => uses(b) - uses(a)),
    { tokens },
  )
}

/** The first id that is a token; where none is, the first, so that a note names it. */
function firstToken(ids: readonly number[], { tokens }: Pick<KnownVocabulary, 'tokens'>): number | undefined {
  return ids.find((id) => id < tokens.length) ?? ids[0]
}

/** Texts that llama.cpp takes for an end of generation by themselves. Source: llama_vocab::impl::load, src/llama-vocab.cpp of v0.7.0. */
const knownEnds: ReadonlySet<string> = new Set(
  '<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn> <|endoftext|> </s> <|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> <eos> <turn|>'.split(
    ' ',
  ),
)

/** Further tokens of a list that end a text get the keys of the ends of a turn and of a message, so that llama.cpp stops at them, too. */
function takeOtherEnds(
  written: readonly number[],
  ids: Map<SpecialKind, number>,
  { tokens }: KnownVocabulary,
  notes: string[],
): void {
  const others = [...new Set(written)].filter((id) => {
    const text = tokens[id]
    return text !== undefined && !knownEnds.has(text) && ![...ids].some(([kind, taken]) => taken === id && kind.startsWith('eo'))
  })
  for (const kind of ['eot', 'eom'] as const) {
    if (ids.has(kind)) continue
    const id = others.shift()
    if (id !== undefined) ids.set(kind, id)
  }
  if (others.length > 0) {
    const texts = others.map((id) => `${id} (${JSON.stringify(tokens[id])})`).join(', ')
    notes.push(`The model also ends a text with ${texts} (EOS), for which GGUF has no key: llama.cpp does not stop there.`)
  }
}

/** Says where config.json alone names another end than the tokenizer. */
function otherEndNotes(written: readonly number[], ids: ReadonlyMap<SpecialKind, number>, { tokens }: KnownVocabulary): string[] {
  const eos = ids.get('eos')
  const other = written.find((id) => {
    const text = tokens[id]
    return text !== undefined && !knownEnds.has(text) && ![...ids].some(([kind, taken]) => taken === id && kind.startsWith('eo'))
  })
  if (other === undefined || eos === undefined) return []
  const show = (id: number): string => `${id} (${JSON.stringify(tokens[id])})`
  return [
    `The end-of-text token (EOS) is ${show(other)} in config.json and ${show(eos)} in the tokenizer files: the latter is written.`,
  ]
}

function noteMissingEnd(ids: Map<SpecialKind, number>, { tokens, addedTokens }: KnownVocabulary, notes: string[]): void {
  const known = addedTokens.find(({ content }) => knownEnds.has(content))
  if (known !== undefined) {
    ids.set('eos', known.id)
    notes.push(`No file names the end-of-text token (EOS): ${JSON.stringify(known.content)} (${known.id}) is used.`)
  } else {
    notes.push(
      `No file names the end-of-text token (EOS). llama.cpp takes its own default, which is another token here (11 is ${JSON.stringify(tokens[11] ?? null)}).`,
    )
  }
}

/** What Hugging Face's tokenizers for tokenizer.model add where nothing is said. Source: LlamaTokenizer of transformers 4. */
const usualAdds = { bos: true, eos: false } as const

function readAdds(files: TokenizerFiles, added: Map<SpecialKind, boolean>, notes: string[]): void {
  const config = asObject(files.config)
  for (const kind of ['bos', 'eos', 'sep'] as const) {
    const said = config?.[`add_${kind}_token`]
    if (!added.has(kind) && (kind === 'sep' || files.tokenizer === undefined)) {
      const adds = typeof said === 'boolean' ? said : kind === 'sep' ? undefined : usualAdds[kind]
      if (adds !== undefined) added.set(kind, adds)
    } else if (!added.has(kind)) added.set(kind, false)
    // Where there is a tokenizer.json, the reference library asks nothing else.
    if (typeof said === 'boolean' && said !== added.get(kind)) {
      notes.push(
        `tokenizer_config.json has add_${kind}_token ${said}, and the post-processor of tokenizer.json ${said ? 'does not add' : 'adds'} the token: as with Hugging Face tokenizers, the post-processor counts.`,
      )
    }
  }
}
