/** A way to cut text that llama.cpp implements. */
export interface KnownPreTokenizer {
  /** What tokenizer.ggml.pre holds. */
  readonly name: string
  /** The expressions of the tokenizer.json of the models that use it, one after the other. */
  readonly regexes: readonly string[]
  /** An added token that tells it from another with the same expressions; the more particular stands first. */
  readonly token?: string
  /** What the expressions split off alone and llama.cpp does not: tokens are the same unless one holds it with other characters. */
  readonly alone?: RegExp
}

/** GPT-2's split: what the step ByteLevel does unless it is told not to. */
export const classicSplit = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

/** Runs of what Hugging Face tokenizers take for punctuation: Unicode's, and all of ASCII. */
export const punctuationRuns = String.raw`[\p{P}$+<=>^~|\`]+`

/** The same marks one by one. */
export const eachPunctuation = String.raw`[\p{P}$+<=>^~|\`]`

const contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const spaces = String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`
const digit = String.raw`\p{N}`
const threeDigits = String.raw`\p{N}{1,3}`

/** GPT-4's split and its kin, which differ in how many digits stand together. */
const words = (digits: string): string =>
  String.raw`${contraction}|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|${spaces}`

/** A split that also cuts where lower case turns to upper case. */
const casedWords = (suffix: string, digits: string): string => {
  const upper = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
  const lower = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
  const start = String.raw`[^\r\n\p{L}\p{N}]?${upper}`
  const rest = String.raw`| ?[^\s\p{L}\p{N}]+[\r\n/]*|${spaces}`
  return `${start}*${lower}+${suffix}|${start}+${lower}*${suffix}|${digits}${rest}`
}

/** A split that also cuts between Han and other letters, and where lower case turns to upper case. */
const kimiWords = ((): string => {
  const upper = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]`
  const lower = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]`
  const start = String.raw`[^\r\n\p{L}\p{N}]?${upper}`
  const letters = `${start}*${lower}+${contraction}?|${start}+${lower}*${contraction}?`
  return String.raw`[\p{Han}]+|${letters}|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|${spaces}`
})()

const punctuationBeforeWord = '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+'
const hanAndHangul = '[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+'
const hanAndKana = '[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+'
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

/**
 * The splits of llama.cpp (src/llama-vocab.cpp, llm_tokenizer_bpe of v0.5.0) as tokenizer.json files write them. Where several names mean
 * the same split there, the one stands here that its converter gives to the best-known model.
 */
export const knownPreTokenizers: readonly KnownPreTokenizer[] = [
  { name: 'glm4', regexes: [words(threeDigits)], token: '[gMASK]' },
  { name: 'llama-bpe', regexes: [words(threeDigits)] },
  { name: 'deepseek-r1-qwen', regexes: [words(digit)], token: '<\uff5cbegin\u2581of\u2581sentence\uff5c>' },
  { name: 'qwen2', regexes: [words(digit)] },
  {
    name: 'qwen35',
    regexes: [String.raw`${contraction}|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|${spaces}`],
  },
  {
    name: 'deepseek-llm',
    regexes: [
      String.raw`[\r\n]`,
      String.raw`\s?[${casedLetters}]+`,
      String.raw`\s?[!-/:-~${'\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002'}]+`,
      String.raw`\s+$`,
      hanAndHangul,
      digit,
    ],
  },
  {
    name: 'deepseek-coder',
    regexes: [String.raw`[\r\n]`, String.raw`\s?\p{L}+`, String.raw`\s?\p{P}+`, hanAndHangul, digit],
  },
  {
    name: 'deepseek-v3',
    regexes: [
      threeDigits,
      hanAndKana,
      punctuationBeforeWord + String.raw`|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|${spaces}`,
    ],
  },
  { name: 'gpt-4o', regexes: [casedWords(`${contraction}?`, threeDigits)] },
  { name: 'kimi-k2', regexes: [kimiWords] },
  { name: 'tekken', regexes: [casedWords('', digit)] },
  {
    name: 'seed-coder',
    regexes: [String.raw`${contraction}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|${spaces}`],
  },
  { name: 'minicpm5', regexes: [threeDigits, words(String.raw`\p{N}+`)] },
  { name: 'falcon', regexes: [punctuationRuns, classicSplit, String.raw`\p{N}+`, '[0-9][0-9][0-9]'] },
  {
    name: 'falcon-h1',
    regexes: [eachPunctuation, words(threeDigits), digit],
    alone: /[\p{P}$+<=>^~|`\p{N}]/u,
  },
  { name: 'starcoder', regexes: [digit, classicSplit], token: '<fim_prefix>' },
  { name: 'smollm', regexes: [digit, classicSplit] },
  { name: 'gpt-2', regexes: [classicSplit] },
]
