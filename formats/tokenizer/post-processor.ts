import { asArray, asObject, asText, type JsonObject } from './json.js'
import { stepsOf } from './steps.js'

/** The special tokens that GGUF has keys for, and `cls`, in llama.cpp's spelling. */
export type SpecialKind = 'bos' | 'eos' | 'unk' | 'sep' | 'pad' | 'mask' | 'cls' | 'eot' | 'eom'

/**
 * Reads what a post-processor puts around a text, as llama.cpp's converter does: corrects the names of special tokens by it and says
 * which tokens are added. Source: class SpecialVocab, gguf-py/gguf/vocab.py of llama.cpp v0.7.0.
 * @param names by kind; corrected. @param added by kind; filled.
 * @returns kinds that got a name only here.
 */
export function readPostProcessor(
  processor: JsonObject | undefined,
  names: Map<SpecialKind, string>,
  added: Map<SpecialKind, boolean>,
): SpecialKind[] {
  const extra: SpecialKind[] = []
  if (processor === undefined) return extra
  for (const object of processorSteps(processor)) {
    if (object['type'] === 'ByteLevel') {
      for (const kind of ['bos', 'eos'] as const) if (!added.has(kind)) added.set(kind, false)
    } else if (object['type'] === 'RobertaProcessing') {
      for (const kind of ['bos', 'eos', 'sep'] as const) added.set(kind, true)
      const separator = asText(asArray(object['sep'])?.[0])
      if (!names.has('sep') && separator !== undefined) names.set('sep', separator)
    } else if (object['type'] === 'BertProcessing') {
      for (const kind of ['bos', 'eos', 'sep'] as const) added.set(kind, true)
      const texts = { bos: asArray(object['cls'])?.[0], eos: asArray(object['sep'])?.[0], sep: asArray(object['sep'])?.[0] }
      for (const [kind, text] of Object.entries(texts) as [SpecialKind, unknown][]) {
        if (!names.has(kind) && typeof text === 'string') names.set(kind, text)
      }
    } else if (object['type'] === 'TemplateProcessing') {
      readTemplate(object, names, added, extra)
    }
  }
  return extra
}

/** The steps of a post-processor in a row, however they are nested. */
function processorSteps(processor: JsonObject | undefined): JsonObject[] {
  return stepsOf(processor, 'processors')
}

/** Says which steps of a post-processor are of a kind that llama.cpp's files cannot say. */
export function unknownStepNotes(processor: JsonObject | undefined): string[] {
  const known = ['ByteLevel', 'RobertaProcessing', 'BertProcessing', 'TemplateProcessing']
  return processorSteps(processor)
    .filter((step) => !known.includes(asText(step['type']) ?? ''))
    .map(
      (step) => `The post-processor of tokenizer.json has the step ${JSON.stringify(step['type'] ?? null)}, which is left out.`,
    )
}

/**
 * Says where a tokenizer puts several tokens before or after a text, of which llama.cpp adds one.
 * @param processor post_processor of tokenizer.json.
 */
export function wrappingNotes(processor: JsonObject | undefined): string[] {
  const steps = processorSteps(processor)
  const template = steps.find((step) => step['type'] === 'TemplateProcessing')
  const single = asArray(template?.['single']) ?? []
  const at = single.findIndex((entry) => asObject(entry)?.['Sequence'] !== undefined)
  if (at === -1) return []
  const texts = (entries: readonly unknown[]): string[] => entries.map(specialId).filter((id) => id !== undefined)
  const [before, after] = [texts(single.slice(0, at)), texts(single.slice(at + 1))]
  const note = (found: readonly string[], place: string, kept: string | undefined): string[] =>
    found.length < 2
      ? []
      : [
          `The tokenizer adds ${found.join('')} ${place} a text, of which llama.cpp adds only ${kept}: add the rest yourself, or in the chat template.`,
        ]
  return [...note(before, 'before', before[0]), ...note(after, 'after', after.at(-1))]
}

/**
 * Says where a post-processor writes other ids than its tokens have: the reference library uses those that are written.
 * @param processor post_processor of tokenizer.json. @param idOf the id of a token's text; undefined where there is none.
 */
export function processorIdNotes(processor: JsonObject | undefined, idOf: (text: string) => number | undefined): string[] {
  const steps = processorSteps(processor)
  const written = steps.flatMap((step): [text: string, id: unknown][] => {
    const pairs = [step['cls'], step['sep']].map(asArray).filter((pair) => pair !== undefined)
    const table = Object.values(asObject(step['special_tokens']) ?? {}).map(asObject)
    return [
      ...pairs.map(([text, id]): [string, unknown] => [asText(text) ?? '', id]),
      ...table.map((entry): [string, unknown] => {
        const ids = asArray(entry?.['ids']) ?? []
        return [asText(entry?.['id']) ?? '', ids.length === 1 ? ids[0] : ids]
      }),
    ]
  })
  return written
    .filter(([text, id]) => text !== '' && idOf(text) !== undefined && idOf(text) !== id)
    .map(
      ([text, id]) =>
        `The post-processor of tokenizer.json writes the id ${JSON.stringify(id)} for ${JSON.stringify(text)}, which has the id ${idOf(text)}: llama.cpp adds the latter.`,
    )
}

function readTemplate(
  template: JsonObject,
  names: Map<SpecialKind, string>,
  added: Map<SpecialKind, boolean>,
  extra: SpecialKind[],
): void {
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
  names: Map<SpecialKind, string>,
  added: Map<SpecialKind, boolean>,
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
