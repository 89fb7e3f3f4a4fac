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

/** Letters of the scripts that have two cases. */
const casedLetters = [
  'A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376',
  '\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-',
  '\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a',
  '\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4',
  '\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc',
  '\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f',
  '\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b',
  '\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a',
  '\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-',
  '\u{118df}\u{1e900}-\u{1e943}',
].join('')

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
  glm4: regexes(words(three)),
  'chatglm-bpe': regexes(words(three)),
  falcon3: regexes(words(three)),
  dbrx: regexes(words(three)),
  lfm2: regexes(words(three)),
  'smaug-bpe': regexes(words(three)),
  'falcon-h1': sequence({ type: 'Punctuation', behavior: 'Isolated' }, split(words(three)), digits, bytes(false)),
  bailingmoe: regexes(String.raw`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|${tail}`),
  bailingmoe2: regexes(words(one)),
  bloom: sequence(split(String.raw` ?[^(\s|[.,!?…。,、।۔،])]+`), bytes(false)),
  'solar-open': regexes(cased(`${contraction}?`, three)),
  youtu: regexes(cased(`${contraction}?`, three)),
  hunyuan: regexes(words(three)),
  'hunyuan-dense': regexes(three, '[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+', deepseekWords),
  exaone: sequence(split(`${contraction}|\\s*[\\r\\n]`), digits, bytes(true)),
  exaone4: sequence(digits, bytes(true)),
  'exaone-moe': regexes(words(three)),
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
  'kimi-k2': regexes(
    String.raw`[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+${contraction}?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*${contraction}?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|${tail}`,
  ),
  'deepseek-llm': regexes(
    String.raw`[\r\n]`,
    String.raw`\s?[${casedLetters}]+`,
    String.raw`\s?[!-/:-~${'\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002'}]+`,
    String.raw`\s+$`,
    '[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+',
    one,
  ),
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
