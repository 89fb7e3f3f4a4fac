import { describe, expect, it } from 'vitest'
import { tokenizerMetadata } from '../../../formats/tokenizer/index.js'

// The expressions are those of the models' own tokenizer.json, as JSON writes them.

const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }
const classic = { ...byteLevel, use_regex: true }
const digits = { type: 'Digits', individual_digits: true }
const split = (json: string): object => ({
  type: 'Split',
  pattern: { Regex: JSON.parse(`"${json}"`) as string },
  behavior: 'Isolated',
  invert: false,
})
const sequence = (...pretokenizers: object[]): object => ({ type: 'Sequence', pretokenizers })

const llama3 = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
const qwen2 = llama3.replace('{1,3}', '')
const qwen35 = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
const o200k = String.raw`[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
const tekken = String.raw`[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
const seedCoder = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+|\\s+(?!\\S)|\\s+`
const deepseekV3 = String.raw`[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_${'`'}{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+`
/** Those that have an equal elsewhere in Unicode are escaped, lest an editor exchange them. */
const casedLetters = String.raw`A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃`

function nameOf(preTokenizer: unknown, addedTokens: readonly string[] = [], pre?: string): unknown {
  const tokenizer = {
    model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] },
    pre_tokenizer: preTokenizer,
    added_tokens: addedTokens.map((content, index) => ({ id: 3 + index, content })),
  }
  const { entries } = tokenizerMetadata({ pathOf: (name) => name, tokenizer }, pre === undefined ? {} : { pre })
  return new Map(entries).get('tokenizer.ggml.pre')?.value
}

describe('the pre-tokenizer', () => {
  it.each<[string, object, string[]?]>([
    ['llama-bpe', sequence(split(llama3), byteLevel)],
    ['glm4', sequence(split(llama3), byteLevel), ['[gMASK]']],
    ['qwen2', sequence(split(qwen2), byteLevel)],
    ['deepseek-r1-qwen', sequence(split(qwen2), byteLevel), ['<｜begin▁of▁sentence｜>']],
    ['qwen35', sequence(split(qwen35), byteLevel)],
    ['gpt-4o', sequence(split(o200k), byteLevel)],
    ['tekken', sequence(split(tekken), byteLevel)],
    ['seed-coder', sequence(split(seedCoder), byteLevel)],
    ['gpt-2', { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true }],
    ['smollm', sequence(digits, classic)],
    ['starcoder', sequence(digits, classic), ['<fim_prefix>']],
    [
      'deepseek-coder',
      sequence(
        split(String.raw`[\r\n]`),
        split(String.raw`\\s?\\p{L}+`),
        split(String.raw`\\s?\\p{P}+`),
        split('[一-龥ࠀ-一가-퟿]+'),
        digits,
        byteLevel,
      ),
    ],
    [
      'deepseek-llm',
      sequence(
        split(String.raw`[\r\n]`),
        split(String.raw`\\s?[${casedLetters}]+`),
        split(String.raw`\\s?[!-/:-~！-／：-～‘-‟　-。]+`),
        split(String.raw`\\s+$`),
        split('[一-龥ࠀ-一가-퟿]+'),
        digits,
        byteLevel,
      ),
    ],
    ['deepseek-v3', sequence(split(String.raw`\\p{N}{1,3}`), split('[一-龥぀-ゟ゠-ヿ]+'), split(deepseekV3), byteLevel)],
  ])('%s is known by its expressions', (name, preTokenizer, addedTokens = []) => {
    expect(nameOf(preTokenizer, addedTokens)).toBe(name)
  })

  describe('falcon-h1, which llama.cpp splits as Llama 3', () => {
    const falconH1 = sequence({ type: 'Punctuation', behavior: 'Isolated' }, split(llama3), digits, byteLevel)
    const notesOf = (tokens: readonly string[]): readonly string[] => {
      const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]))
      const tokenizer = {
        model: { type: 'BPE', vocab, merges: ['a b'], ignore_merges: true },
        pre_tokenizer: falconH1,
        added_tokens: [],
      }
      const { notes } = tokenizerMetadata({ pathOf: (name) => name, tokenizer, config: { eos_token: 'a' } }, {})
      return notes
    }

    it('is known by its expressions', () => {
      expect(nameOf(falconH1)).toBe('falcon-h1')
      expect(nameOf(sequence({ type: 'Punctuation' }, split(llama3), digits, byteLevel))).toBe('falcon-h1')
    })

    it('is taken without a word where no token joins a digit or a mark to another character', () => {
      // The last is a full stop of Chinese, of three bytes.
      expect(notesOf(['a', 'b', 'ab', '\u0120a', '1', '.', '\u00e3\u0122\u0124'])).toEqual([])
    })

    it('is noted where one does', () => {
      expect(notesOf(['a', '1', '12', '.', '\u0120.', 'b', 'ab'])).toEqual([
        'llama.cpp does not split off each digit and punctuation mark as tokenizer.json does (pre-tokenizer falcon-h1): 2 tokens that join one to other characters (such as "12", " .") are used where the tokenizer would not.',
      ])
    })
  })

  it('is the same where matches are kept by removing what lies between', () => {
    expect(nameOf(sequence({ ...split(llama3), behavior: 'Removed', invert: true }, byteLevel))).toBe('llama-bpe')
  })

  it('is the same where upper and lower case are written out', () => {
    const written = llama3.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])")
    expect(nameOf(sequence(split(written), byteLevel))).toBe('llama-bpe')
  })

  it.each([
    ['other expressions', sequence(split('[a-z]+'), byteLevel), 'it splits text by [a-z]+'],
    ['another step', sequence({ type: 'Metaspace' }, byteLevel), '"Metaspace"'],
    ['another behavior', sequence({ ...split(llama3), behavior: 'MergedWithNext' }, byteLevel), 'MergedWithNext'],
    ['one expression too many', sequence(split(llama3), digits, byteLevel), String.raw`\p{N}`],
  ])('is refused with %s, saying what was found', (_, preTokenizer, words) => {
    expect(() => nameOf(preTokenizer)).toThrow(
      expect.objectContaining({
        code: 'PRE_TOKENIZER_UNKNOWN',
        details: { file: 'tokenizer.json', problem: expect.stringContaining(words) as string },
      }) as Error,
    )
  })

  it('is what the caller says, if llama.cpp knows it', () => {
    const other = sequence(split('[a-z]+'), byteLevel)
    expect(nameOf(other, [], 'viking')).toBe('viking')
    expect(() => nameOf(other, [], 'norse')).toThrow(expect.objectContaining({ code: 'PRE_TOKENIZER_UNKNOWN' }) as Error)
  })
})
