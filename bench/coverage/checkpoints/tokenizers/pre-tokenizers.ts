import type { Json } from '../spec.js'

/** The step that turns bytes into the characters of the vocabulary; with `regex` it cuts as GPT-2 does, too. */
const bytes = (regex: boolean, prefix = false): Json => ({
  type: 'ByteLevel',
  add_prefix_space: prefix,
  trim_offsets: regex,
  use_regex: regex,
})
const split = (regex: string, behavior = 'Isolated', invert = false): Json => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior,
  invert,
})
const sequence = (...pretokenizers: Json[]): Json => ({ type: 'Sequence', pretokenizers })
const digits: Json = { type: 'Digits', individual_digits: true }
const regexes = (...list: string[]): Json => sequence(...list.map((regex) => split(regex)), bytes(false))

const contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const tail = String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`
const words = (number: string): string =>
  String.raw`${contraction}|[^\r\n\p{L}\p{N}]?\p{L}+|${number}| ?[^\s\p{L}\p{N}]+[\r\n]*|${tail}`
const cased = (suffix: string, number: string): string => {
  const [upper, lower] = [String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`, String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`]
  const start = String.raw`[^\r\n\p{L}\p{N}]?${upper}`
  return String.raw`${start}*${lower}+${suffix}|${start}+${lower}*${suffix}|${number}| ?[^\s\p{L}\p{N}]+[\r\n/]*|${tail}`
}
const three = String.raw`\p{N}{1,3}`
const one = String.raw`\p{N}`
const deepseekWords = [
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+',
  String.raw`|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|${tail}`,
].join('')
const qwen35 = String.raw`${contraction}|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|${tail}`

/** The field pre_tokenizer of the published tokenizer.json that each name of llama.cpp stands for. */
const published: Readonly<Record<string, Json>> = {
  'gpt-2': bytes(true),
  'roberta-bpe': bytes(true),
  mpt: bytes(true),
  olmo: bytes(true),
  'phi-2': bytes(true),
  'modern-bert': bytes(true),
  falcon: sequence(
    { type: 'Punctuation', behavior: 'Contiguous' },
    bytes(true),
    { type: 'Digits', individual_digits: false },
    split('[0-9][0-9][0-9]'),
  ),
  starcoder: sequence(digits, bytes(true)),
  refact: sequence(digits, bytes(true)),
  smollm: sequence(digits, bytes(true)),
  'command-r': sequence(digits, bytes(true)),
  'llama-bpe': regexes(words(three)),
  'llama-bpe-no-regex': bytes(true),
  glm4: regexes(words(three)),
  'chatglm-bpe': regexes(words(three)),
  falcon3: regexes(words(three)),
  dbrx: regexes(words(three)),
  lfm2: regexes(words(three)),
  qwen2: regexes(words(one)),
  stablelm2: regexes(words(one)),
  'deepseek-r1-qwen': regexes(words(one)),
  qwen35: regexes(qwen35),
  'gpt-4o': regexes(cased(`${contraction}?`, three)),
  'minimax-m2': regexes(cased(`${contraction}?`, three)),
  llama4: regexes(cased(`${contraction}?`, three)),
  tekken: regexes(cased('', one)),
  pixtral: regexes(cased('', one)),
  'seed-coder': regexes(String.raw`${contraction}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|${tail}`),
  'deepseek-v3': regexes(three, '[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+', deepseekWords),
}

/**
 * The pre_tokenizer of tokenizer.json.
 * @param name llama.cpp's name of it. @throws RangeError for a name that is not in the table.
 */
export function preTokenizerOf(name: string): Json {
  const found = published[name]
  if (found === undefined) throw new RangeError(`There is no pre-tokenizer ${name}`)
  return found
}
