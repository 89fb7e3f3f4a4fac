import { asArray, asIndex, asObject, asText, type JsonObject } from './json.js'
import type { AddedToken } from './vocabulary.js'

/** The special tokens that GGUF has keys for, in the order in which llama.cpp's converter looks for them. */
const kinds = ['bos', 'eos', 'unk', 'sep', 'pad', 'mask'] as const

type Kind = (typeof kinds)[number] | 'eot' | 'eom' | 'cls'

export interface SpecialTokens {
  /** Ids, in the order of the file. */
  readonly ids: ReadonlyMap<Kind, number>
  /** Whether a tokenizer puts the token around a text by itself, in the order of the file. */
  readonly added: ReadonlyMap<Kind, boolean>
}

/**
 * Finds the special tokens as llama.cpp's converter does: names from tokenizer_config.json, corrected by what the post-processor puts
 * before and after a text, looked up among the added tokens; then ids of config.json for those that are still missing.
 * Source: class SpecialVocab, gguf-py/gguf/vocab.py of llama.cpp v0.5.0.
 * @param tokenizer tokenizer.json. @param config tokenizer_config.json. @param modelConfig config.json.
 */
export function findSpecialTokens(
  tokenizer: JsonObject,
  config: JsonObject | undefined,
  modelConfig: JsonObject,
  addedTokens: readonly AddedToken[],
): SpecialTokens {
  const ids = new Map<Kind, number>()
  const added = new Map<Kind, boolean>()
  const names = new Map<Kind, string>()
  for (const kind of [...kinds, 'cls'] as const) {
    const name = tokenText(config?.[`${kind}_token`])
    if (name !== undefined) names.set(kind, name)
  }
  const fallBack = (kind: Kind, from: Kind): void => {
    const name = names.get(from)
    if (!names.has(kind) && name !== undefined) names.set(kind, name)
  }
  fallBack('bos', 'cls')
  fallBack('eos', 'sep')
  const extra = readPostProcessor(asObject(tokenizer['post_processor']), names, added)

  const searched: readonly Kind[] = [...kinds, ...extra]
  if (config !== undefined) {
    for (const kind of searched) {
      const adds = config[`add_${kind}_token`]
      if (typeof adds === 'boolean') added.set(kind, adds)
      const name = names.get(kind)
      const id = addedTokens.find(({ content }) => content === name)?.id
      if (id !== undefined) ids.set(kind, id)
    }
  }
  const textConfig = asObject(modelConfig['text_config'])
  for (const kind of searched) {
    const id = asIndex(modelConfig[`${kind}_token_id`] ?? textConfig?.[`${kind}_token_id`])
    if (id !== undefined && !ids.has(kind)) ids.set(kind, id)
  }
  return { ids, added }
}

/** A token is named by its text, or by an object that holds it. */
function tokenText(entry: unknown): string | undefined {
  const text = asText(entry) ?? asText(asObject(entry)?.['content'])
  return text === '' ? undefined : text
}

/** Corrects names and says what is added around a text. @returns kinds that got a name only here. */
function readPostProcessor(processor: JsonObject | undefined, names: Map<Kind, string>, added: Map<Kind, boolean>): Kind[] {
  const extra: Kind[] = []
  if (processor === undefined) return extra
  for (const step of asArray(processor['processors']) ?? [processor]) {
    const object = asObject(step) ?? {}
    if (object['type'] === 'ByteLevel') {
      for (const kind of ['bos', 'eos'] as const) if (!added.has(kind)) added.set(kind, false)
    } else if (object['type'] === 'RobertaProcessing') {
      for (const kind of ['bos', 'eos', 'sep'] as const) added.set(kind, true)
      const separator = asText(asArray(object['sep'])?.[0])
      if (!names.has('sep') && separator !== undefined) names.set('sep', separator)
    } else if (object['type'] === 'TemplateProcessing') {
      readTemplate(object, names, added, extra)
    }
  }
  return extra
}

function readTemplate(template: JsonObject, names: Map<Kind, string>, added: Map<Kind, boolean>, extra: Kind[]): void {
  const single = asArray(template['single']) ?? []
  const [first, last] = single.length > 1 ? [specialId(single[0]), specialId(single.at(-1))] : []
  if (first !== undefined) {
    if (!names.has('bos')) names.set('bos', first)
    else if (!names.has('cls')) names.set('cls', first)
    added.set('bos', first === names.get('bos') || first === names.get('cls'))
  }
  if (last !== undefined) {
    const eos = names.get('eos')
    if (eos !== undefined && last !== eos) {
      // A text ends with another token than a turn does: the model's own end token is the end of a turn.
      const kind = (['eot', 'eom'] as const).find((kind) => !extra.includes(kind))
      if (kind !== undefined) {
        extra.push(kind)
        names.set(kind, eos)
      }
    }
    names.set('eos', last)
    added.set('eos', true)
  }
  readPair(asArray(template['pair']) ?? [], first, last, names, added)
}

/** Between two texts there may stand a separator, or the end of the first. */
function readPair(
  pair: readonly unknown[],
  first: string | undefined,
  last: string | undefined,
  names: Map<Kind, string>,
  added: Map<Kind, boolean>,
): void {
  const start = first !== undefined && specialId(pair[0]) === first ? 1 : 0
  const end = last !== undefined && specialId(pair.at(-1)) === last ? pair.length - 1 : pair.length
  const inner = pair.slice(start, end)
  const sequence = (entry: unknown): unknown => asObject(asObject(entry)?.['Sequence'])?.['id']
  const between = inner.slice(1, -1)
  if (sequence(inner[0]) !== 'A' || sequence(inner.at(-1)) !== 'B' || between.length === 0) return
  const isEnd = (entry: unknown): boolean => {
    const id = specialId(entry)
    return id !== undefined && (id === names.get('sep') || id === names.get('eos'))
  }
  const adds = (isEnd(between[0]) && last === undefined) || (between.length === 2 && isEnd(between[1]))
  added.set('sep', adds)
  const eos = names.get('eos')
  if (adds && !names.has('sep') && eos !== undefined) names.set('sep', eos)
}

function specialId(entry: unknown): string | undefined {
  const id = asText(asObject(asObject(entry)?.['SpecialToken'])?.['id'])
  return id === '' ? undefined : id
}
