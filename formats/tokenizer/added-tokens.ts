import { FormatError } from '../format-error.js'
import { asArray, asIndex, asObject, asText, isUnicode, type JsonObject } from './json.js'

/** A token that is found in a text as it stands, before any merge. */
export interface AddedToken {
  readonly id: number
  readonly content: string
  readonly special: boolean
}

/** Added tokens with the ids that the reference library gives them, and what the user should know of it. */
export interface AddedTokens {
  readonly tokens: readonly AddedToken[]
  readonly notes: readonly string[]
}

/**
 * Added tokens of tokenizer.json, then those that only tokenizer_config.json names.
 *
 * Hugging Face tokenizers passes over the id that tokenizer.json gives an added token: a text that the vocabulary has already keeps its id
 * there, and any other gets the next one. Source: AddedVocabulary::add_tokens, tokenizers/src/tokenizer/added_vocabulary.rs, version 0.23.
 * @param vocabulary ids of the model's own tokens.
 * @param rows of the model's embedding, if known: added tokens beyond them are left out.
 * @throws FormatError TOKENIZER_INVALID where one has no content, or no id from 0 on.
 */
export function readAddedTokens(
  tokenizer: JsonObject,
  config: JsonObject,
  vocabulary: ReadonlyMap<string, number>,
  rows: number | undefined,
  file: string,
): AddedTokens {
  const tokens = new Map<string, AddedToken>()
  const notes: string[] = []
  const taken = new Set(vocabulary.values())
  let highest = vocabulary.size - 1
  const add = (written: unknown, entry: unknown): void => {
    const index = asIndex(written)
    const object = asObject(entry)
    const content = asText(object?.['content'])
    if (index === undefined || content === undefined) throw invalid(file, 'an added token has no content, or no id from 0 on')
    if (!isUnicode(content)) throw invalid(file, `the added token ${index} is not Unicode text`)
    // The library ignores an empty text, and one that it has already.
    const earlier = tokens.get(content)
    if (earlier !== undefined && earlier.id !== index) {
      notes.push(`${JSON.stringify(content)} has the id ${earlier.id}, and the written ${index} is not used`)
    }
    if (content === '' || earlier !== undefined) return
    const known = vocabulary.get(content)
    // Where a vocabulary has holes, its next id may be taken: the one that is written is the better guess then.
    const next = taken.has(highest + 1) ? index : highest + 1
    const id = known ?? next
    if (id !== index)
      notes.push(`${JSON.stringify(content)} has the id ${id}, as tokenizers reads the file, and not the written ${index}`)
    taken.add(id)
    highest = Math.max(highest, id)
    tokens.set(content, { id, content, special: object?.['special'] === true })
  }
  for (const entry of asArray(tokenizer['added_tokens']) ?? []) add(asObject(entry)?.['id'], entry)
  const own = new Set([...tokens.values()].map(({ id }) => id))
  const later = Object.entries(asObject(config['added_tokens_decoder']) ?? {}).toSorted(([a], [b]) => Number(a) - Number(b))
  for (const [id, entry] of later) {
    if (!own.has(Number(id))) add(Number(id), entry)
    else noteOther(Number(id), asText(asObject(entry)?.['content']), [...tokens.values()], notes)
  }
  const within = withinRows([...tokens.values()], rows)
  return {
    tokens: within.tokens,
    notes: [...summary(notes), ...within.notes, ...strippingNotes(tokenizer, config)],
  }
}

/**
 * Added tokens that the model can read. One that its embedding has no row for (an image's placeholder in a text model, a padding token of
 * fine-tuning) fails in the reference library when a text has it; GGUF has no place for it.
 * @param rows of the embedding, if known.
 */
export function withinRows<T extends Pick<AddedToken, 'id' | 'content'>>(
  tokens: readonly T[],
  rows: number | undefined,
): { readonly tokens: readonly T[]; readonly notes: readonly string[] } {
  const beyond = rows === undefined ? [] : tokens.filter(({ id }) => id >= rows)
  if (beyond.length === 0) return { tokens, notes: [] }
  const named = listed(beyond.map(({ id, content }) => `${JSON.stringify(content)} (${id})`))
  return {
    tokens: tokens.filter((token) => !beyond.includes(token)),
    notes: [`The embedding has ${rows} rows, and none for the added tokens ${named}: they are left out.`],
  }
}

function noteOther(id: number, content: string | undefined, tokens: readonly AddedToken[], notes: string[]): void {
  const known = tokens.find((token) => token.id === id)
  if (known === undefined || content === undefined || known.content === content) return
  notes.push(
    `${id} is ${JSON.stringify(known.content)}, as tokenizer.json says, and not ${JSON.stringify(content)}, as tokenizer_config.json does`,
  )
}

/** Tokens that take the blanks beside them, or stand for whole words alone: llama.cpp finds a token wherever its text stands. */
export function strippingNotes(tokenizer: JsonObject | undefined, config: JsonObject | undefined): string[] {
  const entries = [
    ...(asArray(tokenizer?.['added_tokens']) ?? []),
    ...Object.values(asObject(config?.['added_tokens_decoder']) ?? {}),
  ]
  const found = entries.map(asObject).filter((entry) => {
    const content = asText(entry?.['content']) ?? ''
    // llama.cpp knows the models whose masks take the blank before them.
    if (/^[<[]mask[>\]]$/i.test(content)) return false
    return entry?.['lstrip'] === true || entry?.['rstrip'] === true || entry?.['single_word'] === true
  })
  if (found.length === 0) return []
  const texts = [...new Set(found.map((entry) => JSON.stringify(entry?.['content'])))]
  return [
    `The tokenizer has added tokens that strip adjacent spaces (lstrip, rstrip) or match only whole words (single_word): ${listed(texts)}. llama.cpp may tokenize text around them differently.`,
  ]
}

function listed(texts: readonly string[]): string {
  const more = texts.length - shownNotes
  return more > 0 ? `${texts.slice(0, shownNotes).join(', ')} and ${more} more` : texts.join(', ')
}

const shownNotes = 3

function summary(notes: readonly string[]): string[] {
  if (notes.length === 0) return []
  const more = notes.length - shownNotes
  return [`Added tokens: ${notes.slice(0, shownNotes).join('; ')}${more > 0 ? `; and ${more} more` : ''}.`]
}

function invalid(file: string, problem: string): FormatError {
  return new FormatError('TOKENIZER_INVALID', { file, problem })
}
