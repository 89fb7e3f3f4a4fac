import { describe, expect, it } from 'vitest'
import { type TokenizerFiles, tokenizerMetadata } from '../../../formats/tokenizer/index.js'

const files = (more: Partial<TokenizerFiles>): TokenizerFiles => ({ pathOf: (name) => `/model/${name}`, ...more })
const valueOf = (found: ReturnType<typeof tokenizerMetadata>, key: string): unknown =>
  found.entries.find(([name]) => name === `tokenizer.ggml.${key}`)?.[1].value

describe("RWKV's World vocabulary", () => {
  const lines = ["1 '\\x00' 1", '2 "\'" 1', "3 b'\\xff' 1", "4 ' \\\\\\n' 3", "5 '中' 3", '6 \'"a"\' 3']

  it('holds tokens as Python writes bytes', () => {
    // Python: repr(token)[2:-1] of each.
    const found = tokenizerMetadata(files({ rwkvVocabulary: lines.join('\n') }), { vocabularySize: 8 })
    expect(valueOf(found, 'tokens')).toEqual(['<s>', '\\x00', "'", '\\xff', ' \\\\\\n', '\\xe4\\xb8\\xad', '"a"', '[PAD7]'])
    expect(valueOf(found, 'token_type')).toEqual([3, 1, 1, 1, 1, 1, 1, 5])
  })

  it.each([
    ['of another number', "2 'a' 1"],
    ['of another length', "1 'a' 2"],
    ['without a literal', '1 a 1'],
    ['with an escape that Python does not know', "1 '\\q' 1"],
  ])('is refused with a line %s', (_, line) => {
    expect(() => tokenizerMetadata(files({ rwkvVocabulary: line }))).toThrow(
      expect.objectContaining({ code: 'TOKENIZER_INVALID' }),
    )
  })
})

describe('token ranks of tiktoken', () => {
  const config = {
    tokenizer_class: 'TikTokenTokenizer',
    bos_token: '[BOS]',
    added_tokens_decoder: { 5: { content: '[BOS]', special: true } },
  }
  const ranks = (...tokens: string[]): string =>
    tokens.map((token, rank) => `${Buffer.from(token).toString('base64')} ${rank}\n`).join('')

  const ranked = (text: string): { name: string; text: string } => ({ name: 'tiktoken.model', text })

  it.each([
    ['QWenTokenizer', 'qwen2', ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<|extra_0|>']],
    ['HYTokenizer', 'hunyuan', ['<|endoftext|>', '<|startoftext|>', '<|bos|>', '<|eos|>']],
  ])('are followed by the special tokens that the code of %s names', (name, pre, special) => {
    const found = tokenizerMetadata(files({ tokenRanks: ranked(ranks('a', 'b')), config: { tokenizer_class: name } }), {
      vocabularySize: 300,
    })
    expect(valueOf(found, 'pre')).toBe(pre)
    const tokens = valueOf(found, 'tokens') as string[]
    expect(tokens.slice(2, 6)).toEqual(special)
    // The last of 205 numbered ones, and what is left.
    expect(tokens.slice(name === 'QWenTokenizer' ? 209 : 211).slice(0, 2)).toEqual([
      '<|extra_204|>',
      `[PAD${name === 'QWenTokenizer' ? 210 : 212}]`,
    ])
  })

  it('have the merges that lower ranks leave two parts of', () => {
    // tiktoken's own merging: "ab" of a and b; " ab" of a blank and ab.
    const found = tokenizerMetadata(files({ tokenRanks: ranked(ranks('a', 'b', ' ', 'ab', ' ab')), config }), {
      vocabularySize: 7,
    })
    expect(valueOf(found, 'pre')).toBe('kimi-k2')
    expect(valueOf(found, 'tokens')).toEqual(['a', 'b', 'Ġ', 'ab', 'Ġab', '[BOS]', '<|reserved_token_6|>'])
    expect(valueOf(found, 'merges')).toEqual(['a b', 'Ġ ab'])
    expect(valueOf(found, 'bos_token_id')).toBe(5)
    expect(valueOf(found, 'add_bos_token')).toBe(false)
  })

  it('are refused where nothing says how they split text, or ranks do not count from 0', () => {
    expect(() => tokenizerMetadata(files({ tokenRanks: ranked(ranks('a')), config: { tokenizer_class: 'Other' } }))).toThrow(
      expect.objectContaining({ code: 'PRE_TOKENIZER_UNKNOWN' }),
    )
    expect(() => tokenizerMetadata(files({ tokenRanks: ranked('YQ== 1\n'), config }))).toThrow(
      expect.objectContaining({ code: 'TOKENIZER_INVALID' }),
    )
  })
})
