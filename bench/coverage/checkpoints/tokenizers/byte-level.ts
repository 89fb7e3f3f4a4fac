import type { Json } from '../spec.js'
import { preTokenizerOf } from './pre-tokenizers.js'

/** Words whose merges the tiny vocabularies have, the commonest pairs of English text first. */
const mergeList =
  'Ġ t|h e|i n|Ġt he|a n|e r|r e|o n|Ġ a|Ġ s|e n|a t|Ġ o|n d|Ġ w|Ġ b|i s|o r|Ġ c|i t|e s|Ġo f|a l|in g|Ġ f|Ġ m|o u|Ġt o|Ġa nd|a r|Ġ d|e d'
    .split('|')
    .map((merge) => merge.split(' ') as unknown as readonly [string, string])

const printable = [...range(0x21, 0x7e), ...range(0xa1, 0xac), ...range(0xae, 0xff)]
const others = range(0, 255).filter((byte) => !printable.includes(byte))

/** GPT-2's names of the 256 bytes, in the order of its vocabulary: printable characters, then the others moved up by 256. */
export const byteNames: readonly string[] = [...printable, ...others.map((_, index) => 256 + index)].map((code) =>
  String.fromCodePoint(code),
)

/** The byte that one of these names stands for. */
export function byteNamed(name: string): number {
  const code = name.charCodeAt(0)
  return code < 256 ? code : (others[code - 256] as number)
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

/** An added token: its text, and whether it is special and so on, as tokenizer.json has it. */
export interface Added {
  readonly content: string
  readonly special?: boolean
  readonly normalized?: boolean
  readonly lstrip?: boolean
  readonly rstrip?: boolean
}

export interface ByteLevelOptions {
  /** llama.cpp's name of the pre-tokenizer. */
  readonly pre: string
  /** Added tokens, special unless they say otherwise. They follow the 288 of the vocabulary. */
  readonly added: readonly (string | Added)[]
  /** Stands before (and after) a text. */
  readonly template?: { readonly before?: string; readonly after?: string }
  /** The remaining content of tokenizer_config.json. */
  readonly config: Json
  /** Puts the added tokens first, as GPT-NeoX and others do. */
  readonly addedFirst?: boolean
  /** Writes merges as "a b", as before version 0.20 of the tokenizers library. */
  readonly joinedMerges?: boolean
  /** Leaves tokens out of tokenizer_config.json's added_tokens_decoder. */
  readonly withoutDecoder?: boolean
  /** Merges after the usual ones. */
  readonly moreMerges?: readonly (readonly [string, string])[]
  readonly normalizer?: Json
  /** Does not say what stands before a text, as fast versions of old tokenizers. */
  readonly postProcessor?: Json
}

/** tokenizer.json and tokenizer_config.json of a byte-level BPE: 256 bytes, 32 merges, the added tokens. */
export function byteLevel(options: ByteLevelOptions): Readonly<Record<string, unknown>> {
  const { pre, config, template = {}, addedFirst = false, moreMerges = [] } = options
  const merges = [...mergeList, ...moreMerges]
  const ordinary = [...byteNames, ...merges.map(([left, right]) => left + right)]
  const first = addedFirst ? 0 : ordinary.length
  const added = options.added.map((entry, index) => {
    const token = typeof entry === 'string' ? { content: entry } : entry
    return {
      id: first + index,
      content: token.content,
      single_word: false,
      lstrip: token.lstrip ?? false,
      rstrip: token.rstrip ?? false,
      normalized: token.normalized ?? false,
      special: token.special ?? true,
    }
  })
  const idOf = (content: string): number => added.find((token) => token.content === content)?.id ?? ordinary.indexOf(content)
  const offset = addedFirst ? added.length : 0
  const vocab = Object.fromEntries([
    ...(addedFirst ? added.map(({ content, id }) => [content, id] as const) : []),
    ...ordinary.map((token, index) => [token, offset + index] as const),
  ])
  const byteLevelStep = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: options.normalizer ?? null,
    pre_tokenizer: preTokenizerOf(pre),
    post_processor: options.postProcessor ?? postProcessor(template, idOf),
    decoder: byteLevelStep,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre === 'llama-bpe',
      vocab,
      merges: options.joinedMerges === true ? merges.map((pair) => pair.join(' ')) : merges,
    },
  }
  const decoder = Object.fromEntries(added.map(({ id, ...token }) => [String(id), token]))
  return {
    'tokenizer.json': tokenizer,
    'tokenizer_config.json': { ...(options.withoutDecoder === true ? {} : { added_tokens_decoder: decoder }), ...config },
  }
}

function postProcessor({ before, after }: { before?: string; after?: string }, idOf: (content: string) => number): Json {
  const plain = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true }
  if (before === undefined && after === undefined) return plain
  return { type: 'Sequence', processors: [plain, templateProcessing(before, after, idOf)] }
}

/** The step that puts tokens before and after a text, and after each of two. */
export function templateProcessing(
  before: string | undefined,
  after: string | undefined,
  idOf: (content: string) => number,
  types = [0, 1],
): Json {
  const special = (id: string, type: number | undefined): Json => ({ SpecialToken: { id, type_id: type } })
  const around = (id: string, type: number | undefined): Json[] => [
    ...(before === undefined ? [] : [special(before, type)]),
    { Sequence: { id, type_id: type } },
    ...(after === undefined ? [] : [special(after, type)]),
  ]
  const names = [before, after].filter((name) => name !== undefined)
  return {
    type: 'TemplateProcessing',
    single: around('A', types[0]),
    pair: [...around('A', types[0]), ...around('B', types[1])],
    special_tokens: Object.fromEntries(names.map((id) => [id, { id, ids: [idOf(id)], tokens: [id] }])),
  }
}
