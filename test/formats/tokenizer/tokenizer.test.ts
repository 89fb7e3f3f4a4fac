import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FormatError } from '../../../formats/format-error.js'
import { type TokenizerFiles, type TokenizerOptions, tokenizerMetadata } from '../../../formats/tokenizer/index.js'

const added = (id: number, content: string, special = true): object => ({ id, content, special, normalized: false })
const token = (id: string): object => ({ SpecialToken: { id, type_id: 0 } })
const text = (id: string): object => ({ Sequence: { id, type_id: 0 } })

const tokenizer = {
  model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2, abab: 3 }, merges: [['a', 'b']] },
  pre_tokenizer: { type: 'ByteLevel' },
  added_tokens: [added(4, '<s>'), added(5, '</s>'), added(6, '<|im_end|>', false), added(7, 'word▁two', false)],
}

type Change = Partial<Omit<TokenizerFiles, 'pathOf'>>

function entries(files: Change = {}, options: TokenizerOptions = {}): Map<string, unknown> {
  const { entries: found } = tokenizerMetadata({ pathOf: (name) => name, tokenizer, ...files }, options)
  return new Map(found.map(([key, { value }]) => [key.replace('tokenizer.', '').replace('ggml.', ''), value]))
}

const notes = (files: Change, options?: TokenizerOptions): readonly string[] =>
  tokenizerMetadata({ pathOf: (name) => name, tokenizer, ...files }, options).notes

it.each([
  ['nothing', ''],
  ['text', 'hello'],
])('a tokenizer.model of %s is no SentencePiece model', (_, content) => {
  const sentencePiece = { name: 'tokenizer.model', bytes: new TextEncoder().encode(content) }
  expect(() => entries({ tokenizer: undefined, sentencePiece })).toThrow(
    expect.objectContaining({
      code: 'TOKENIZER_INVALID',
      details: { file: 'tokenizer.model', problem: 'it is not a SentencePiece model' },
    }),
  )
})

describe('what llama.cpp does not do', () => {
  const config = { bos_token: '<s>', eos_token: '</s>' }
  const wrapped = (...single: object[]): Change => ({
    config,
    tokenizer: { ...tokenizer, post_processor: { type: 'TemplateProcessing', single } },
  })
  const changed = (change: object): Change => ({
    config,
    tokenizer: { ...tokenizer, added_tokens: [...tokenizer.added_tokens, { ...added(8, '<x>'), ...change }] },
  })

  it.each<[string, Change, string]>([
    [
      'two tokens before a text',
      wrapped(token('<s>'), token('<|im_end|>'), text('A')),
      'adds <s><|im_end|> before a text, of which llama.cpp adds only <s>',
    ],
    [
      'two tokens behind a text',
      wrapped(text('A'), token('<|im_end|>'), token('</s>')),
      'adds <|im_end|></s> after a text, of which llama.cpp adds only </s>',
    ],
    ['an added token that takes blanks', changed({ lstrip: true }), 'match only whole words (single_word): "<x>".'],
    ['an added token of whole words', changed({ single_word: true }), 'match only whole words (single_word): "<x>".'],
    [
      'two names of one id',
      { config: { ...config, added_tokens_decoder: { 5: { content: '<y>' } } } },
      '5 is "</s>", as tokenizer.json says, and not "<y>"',
    ],
    [
      'an added token that takes blanks by tokenizer_config.json',
      { config: { ...config, added_tokens_decoder: { 5: { content: '</s>', rstrip: true } } } },
      'match only whole words (single_word): "</s>".',
    ],
    [
      'tokens that no merges make, taken as they stand',
      { config, tokenizer: { ...tokenizer, model: { ...tokenizer.model, ignore_merges: true } } },
      'ignore_merges true, and llama.cpp does the opposite with the pre-tokenizer gpt-2: 1 token that no merges make (such as "abab") gets another id',
    ],
    [
      'merges that are left out at random',
      { config, tokenizer: { ...tokenizer, model: { ...tokenizer.model, dropout: 0.1 } } },
      'has BPE dropout 0.1, which llama.cpp does not apply',
    ],
    [
      'a step of the post-processor',
      { config, tokenizer: { ...tokenizer, post_processor: { type: 'Weird' } } },
      'has the step "Weird", which is left out',
    ],
    [
      'chat templates by name that are none',
      { config: { ...config, chat_template: { a: 1 } } },
      'neither a text nor templates by name',
    ],
    ['a chat template that is none', { config: { ...config, chat_template: 5 } }, 'neither a text nor templates by name'],
    ['another split than that of tokenizer.json', { config: { ...config, fix_mistral_regex: true } }, 'has fix_mistral_regex'],
    [
      'an end of a text that is no token',
      { config: { ...config, eos_token: '<|nope|>' }, modelConfig: { eos_token_id: 5 } },
      'names "<|nope|>" as eos, and the vocabulary has no such token',
    ],
    [
      'another end of a text in config.json',
      { config, modelConfig: { eos_token_id: 3 } },
      'The end-of-text token (EOS) is 3 ("abab") in config.json and 5 ("</s>") in the tokenizer files: the latter is written.',
    ],
    [
      'other ids in the post-processor',
      {
        config,
        tokenizer: {
          ...tokenizer,
          post_processor: {
            type: 'TemplateProcessing',
            single: [token('<s>'), text('A')],
            special_tokens: { '<s>': { id: '<s>', ids: [7], tokens: ['<s>'] } },
          },
        },
      },
      'writes the id 7 for "<s>", which has the id 4',
    ],
  ])('is said: %s', (_, files, words) => {
    expect(notes(files)).toEqual([expect.stringContaining(words)])
  })

  it.each([
    ['one token on each side', wrapped(token('<s>'), text('A'), token('</s>'))],
    ['a mask that takes the blank before it', changed({ content: '<mask>', lstrip: true })],
  ])('is not said of %s', (_, files) => {
    expect(notes(files)).toEqual([])
  })
})

/** As in tokenizers 0.23: an added token gets the next id, whatever is written, unless the vocabulary has its text. */
describe('the vocabulary', () => {
  it('has a place for every id: holes are unused, added tokens special or the user’s', () => {
    const found = entries({}, { vocabularySize: 10 })
    expect(found.get('tokens')).toEqual(['a', 'b', 'ab', 'abab', '<s>', '</s>', '<|im_end|>', 'word two', '[PAD8]', '[PAD9]'])
    // 1 normal, 3 control, 4 user-defined, 5 unused: enum of llama.cpp's converter.
    expect(found.get('token_type')).toEqual([1, 1, 1, 1, 3, 3, 3, 4, 5, 5])
  })

  it('takes added tokens that only tokenizer_config.json names', () => {
    const config = { added_tokens_decoder: { '8': { content: '<pad>' }, '4': { content: 'not this' } } }
    const tokens = ['a', 'b', 'ab', 'abab', '<s>', '</s>', '<|im_end|>', 'word two', '<pad>']
    expect(entries({ config }).get('tokens')).toEqual(tokens)
  })

  const withAdded = (...more: object[]): Change => ({
    tokenizer: { ...tokenizer, added_tokens: [...tokenizer.added_tokens, ...more] },
  })
  it('leaves a place free where an added token has the id of its text', () => {
    const files = withAdded(added(8, 'ab', false), added(9, '</s>'))
    const found = entries(files, { vocabularySize: 10 })
    expect((found.get('tokens') as string[]).slice(2)).toEqual([
      'ab',
      'abab',
      '<s>',
      '</s>',
      '<|im_end|>',
      'word two',
      '[PAD8]',
      '[PAD9]',
    ])
    expect(found.get('token_type')).toEqual([1, 1, 4, 1, 3, 3, 3, 4, 5, 5])
    expect(notes(files)[0]).toContain('"ab" has the id 2, as tokenizers reads the file, and not the written 8')
  })

  it('gives an added token the next id, and a free place a text of its own', () => {
    const found = entries(withAdded(added(9, '[PAD9]')), { vocabularySize: 11 })
    expect((found.get('tokens') as string[]).slice(8)).toEqual(['[PAD9]', '[PAD9.1]', '[PAD10]'])
  })

  it('keeps a text with ▁ where the text with blanks is another token', () => {
    const found = entries(withAdded(added(8, '▁▁', false), added(9, '  ', false), added(10, 'x▁', false)))
    expect((found.get('tokens') as string[]).slice(8)).toEqual(['▁▁', '  ', 'x '])
  })

  it('leaves out an added token for which the embedding has no row, as Gemma 3 of text alone has one for images', () => {
    expect(entries({}, { vocabularySize: 7 }).get('tokens')).toEqual(['a', 'b', 'ab', 'abab', '<s>', '</s>', '<|im_end|>'])
    const config = { bos_token: '<s>', eos_token: '</s>' }
    expect(notes({ config }, { vocabularySize: 7 })).toEqual([
      'The embedding has 7 rows, and none for the added tokens "word▁two" (7): they are left out.',
    ])
  })

  it('fills the holes of a vocabulary', () => {
    const model = { ...tokenizer.model, vocab: { a: 0, b: 1, ab: 5 } }
    const found = entries({ tokenizer: { ...tokenizer, model, added_tokens: [added(3, '<s>')] } })
    expect(found.get('tokens')).toEqual(['a', 'b', '[PAD2]', '<s>', '[PAD4]', 'ab'])
  })

  it('writes merges as two texts with a space between', () => {
    expect(entries().get('merges')).toEqual(['a b'])
    const model = { ...tokenizer.model, vocab: { ...tokenizer.model.vocab, ba: 4 }, merges: ['a b', 'b a'] }
    expect(entries({ tokenizer: { ...tokenizer, model } }).get('merges')).toEqual(['a b', 'b a'])
    const vocab = { a: 0, b: 1, ' a': 2, 'b c': 3, ' ab c': 4 }
    const spaced = { ...tokenizer.model, vocab, merges: [[' a', 'b c']] }
    expect(entries({ tokenizer: { ...tokenizer, model: spaced } }).get('merges')).toEqual(['Ġa bĠc'])
  })

  it.each<[string, object, TokenizerOptions, string]>([
    ['ids of its own beyond the embedding', {}, { vocabularySize: 3 }, 'token id 3, and the model has 3'],
    ['an id twice', { model: { ...tokenizer.model, vocab: { a: 0, b: 0 } } }, {}, 'two tokens have the id 0'],
    ['an id that is no number', { model: { ...tokenizer.model, vocab: { a: 'x' } } }, {}, '"a" is "x"'],
    ['no vocabulary', { model: { type: 'BPE', merges: [['a', 'b']] } }, {}, 'no vocab'],
    ['no merges', { model: { ...tokenizer.model, merges: [] } }, {}, 'no merges'],
    ['a merge of a text that is no token', { model: { ...tokenizer.model, merges: ['a b', 'a c'] } }, {}, '"c"'],
    ['a merge into a text that is no token', { model: { ...tokenizer.model, merges: [['b', 'a']] } }, {}, '"ba"'],
    ['a merge of three', { model: { ...tokenizer.model, merges: [['a', 'b', 'c']] } }, {}, 'not a pair'],
    ['an added token without text', { added_tokens: [{ id: 4 }] }, {}, 'has no content, or no id from 0 on'],
    ['an id far beyond any vocabulary', { model: { ...tokenizer.model, vocab: { a: 2 ** 40 } } }, {}, 'tokens'],
    ['half of a surrogate pair', { added_tokens: [added(4, '\ud800')] }, {}, 'not Unicode'],
  ])('is refused with %s', (_, change, options, words) => {
    expect(() => entries({ tokenizer: { ...tokenizer, ...change } }, options)).toThrow(
      expect.objectContaining({
        code: 'TOKENIZER_INVALID',
        details: { file: 'tokenizer.json', problem: expect.stringContaining(words) as string },
      }) as Error,
    )
  })
})

describe('other kinds of tokenizers', () => {
  it.each([
    ['WordLevel', { model: { type: 'WordLevel', vocab: {} } }],
    ['a BPE on characters', { pre_tokenizer: { type: 'Whitespace' } }],
  ])('%s is refused', (_, change) => {
    expect(() => entries({ tokenizer: { ...tokenizer, ...change } })).toThrow(
      expect.objectContaining({ code: 'TOKENIZER_UNSUPPORTED' }) as Error,
    )
  })
})

describe('special tokens', () => {
  const ids = (files: Change): object => {
    const keys = ['bos', 'eos', 'unknown', 'seperator', 'padding', 'mask', 'eot', 'eom']
    const found = entries(files)
    return Object.fromEntries(keys.flatMap((key) => (found.has(`${key}_token_id`) ? [[key, found.get(`${key}_token_id`)]] : [])))
  }
  const adds = (files: Change): object => {
    const found = entries(files)
    return Object.fromEntries(
      ['bos', 'eos', 'sep'].flatMap((key) => (found.has(`add_${key}_token`) ? [[key, found.get(`add_${key}_token`)]] : [])),
    )
  }

  it('are named by tokenizer_config.json, as a text or an object, and else by config.json', () => {
    const config = { bos_token: '<s>', eos_token: { content: '</s>' }, pad_token: null }
    expect(ids({ config, modelConfig: { bos_token_id: 0, eos_token_id: 1, pad_token_id: 2 } })).toEqual({
      bos: 4,
      eos: 5,
      padding: 2,
    })
    expect(ids({ config: { bos_token: 'unheard of', eos_token: 'ab' } })).toEqual({ eos: 2 })
    expect(ids({ specialTokensMap: { eos_token: { content: '</s>' } } })).toEqual({ eos: 5 })
    expect(ids({ modelConfig: { eos_token_id: 4 }, specialTokensMap: { eos_token: '</s>' } })).toEqual({ eos: 4 })
  })

  it('may be lists: the end of a text is the one that the chat template writes, and llama.cpp learns of the others', () => {
    expect(ids({ modelConfig: { eos_token_id: [1, 2], text_config: { bos_token_id: 1 } } })).toEqual({ bos: 1, eos: 1, eot: 2 })
    const chatTemplate = '{{ m }}<|im_end|>'
    expect(ids({ chatTemplate, generationConfig: { eos_token_id: [4, 5, 6] } })).toEqual({ eos: 6, eot: 4 })
    expect(ids({ config: { eos_token: '</s>' }, modelConfig: { eos_token_id: [5, 6] } })).toEqual({ eos: 5 })
    const many = { modelConfig: { eos_token_id: [0, 1, 2, 3] } }
    expect(ids(many)).toEqual({ eos: 0, eot: 1, eom: 2 })
    expect(notes(many)).toEqual([
      'The model also ends a text with 3 ("abab") (EOS), for which GGUF has no key: llama.cpp does not stop there.',
    ])
  })

  it('may be lists in which some are no tokens', () => {
    expect(ids({ modelConfig: { eos_token_id: [99, 5] } })).toEqual({ eos: 5 })
    expect(notes({ modelConfig: { eos_token_id: [99, 5] } })).toEqual([])
  })

  it('are said to be missing where no file names the end of a text', () => {
    expect(ids({})).toEqual({ eos: 5 })
    expect(notes({})[0]).toContain('"</s>" (5) is used')
    const bare = { tokenizer: { ...tokenizer, added_tokens: [] }, modelConfig: { eos_token_id: 99 } }
    expect(ids(bare)).toEqual({})
    expect(notes(bare)).toEqual([
      expect.stringContaining('99 of eos lies beyond the vocabulary of 4') as string,
      expect.stringContaining('No file names the end-of-text token (EOS)') as string,
    ])
  })

  it('are added only by the post-processor, whatever tokenizer_config.json says, as in tokenizers', () => {
    const config = { bos_token: '<s>', eos_token: '</s>', add_bos_token: true }
    expect(adds({ config })).toEqual({ bos: false, eos: false })
    expect(notes({ config })).toEqual([expect.stringContaining('add_bos_token true') as string])
    const post_processor = { type: 'ByteLevel' }
    expect(adds({ tokenizer: { ...tokenizer, post_processor }, config })).toEqual({ bos: false, eos: false })
  })

  it('stand around a text where the template puts them', () => {
    const post_processor = {
      type: 'TemplateProcessing',
      single: [token('<s>'), text('A'), token('</s>')],
      pair: [token('<s>'), text('A'), token('</s>'), text('B'), token('</s>')],
    }
    const config = { bos_token: '<s>', eos_token: '</s>' }
    const files = { tokenizer: { ...tokenizer, post_processor }, config }
    expect(adds(files)).toEqual({ bos: true, eos: true, sep: false })
    expect(adds({ ...files, config: { ...config, add_eos_token: false } })).toEqual({ bos: true, eos: true, sep: false })
    const inSequence = { type: 'Sequence', processors: [{ type: 'ByteLevel' }, post_processor] }
    expect(adds({ ...files, tokenizer: { ...tokenizer, post_processor: inSequence } })).toEqual({
      bos: true,
      eos: true,
      sep: false,
    })
  })

  it('tell the end of a turn from the end of a text where they differ', () => {
    const post_processor = { type: 'TemplateProcessing', single: [text('A'), token('</s>')], pair: [] }
    const config = { eos_token: '<|im_end|>' }
    expect(ids({ tokenizer: { ...tokenizer, post_processor }, config })).toEqual({ eos: 5, eot: 6 })
  })

  it('end a text where generation_config.json says, as well', () => {
    const found = ids({ config: { eos_token: '</s>' }, generationConfig: { eos_token_id: 3 } })
    expect(found).toMatchObject({ eos: 5, eot: 3 })
  })

  it('stand around a text with BertProcessing', () => {
    const processor = { type: 'BertProcessing', cls: ['<s>', 4], sep: ['</s>', 5] }
    const found = entries({ tokenizer: { ...tokenizer, post_processor: processor } })
    expect(found.get('bos_token_id')).toBe(4)
    expect(found.get('eos_token_id')).toBe(5)
    expect([found.get('add_bos_token'), found.get('add_eos_token')]).toEqual([true, true])
  })

  it('are found in steps within steps', () => {
    const template = { type: 'TemplateProcessing', single: [token('<s>'), text('A')] }
    const nested = { type: 'Sequence', processors: [{ type: 'Sequence', processors: [template] }] }
    const found = entries({ config: { bos_token: '<s>' }, tokenizer: { ...tokenizer, post_processor: nested } })
    expect(found.get('add_bos_token')).toBe(true)
  })

  it('all stand around a text with RobertaProcessing', () => {
    const post_processor = { type: 'RobertaProcessing', sep: ['</s>', 5], cls: ['<s>', 4] }
    const config = { bos_token: '<s>', eos_token: '</s>' }
    const files = { tokenizer: { ...tokenizer, post_processor }, config }
    expect(adds(files)).toEqual({ bos: true, eos: true, sep: true })
    expect(ids(files)).toEqual({ bos: 4, eos: 5, seperator: 5 })
  })
})

describe('what a normalizer and a prefix do', () => {
  const change = (fields: object): Change => ({ tokenizer: { ...tokenizer, ...fields } })
  it.each<[string, object, string]>([
    ['Lowercase', { normalizer: { type: 'Lowercase' } }, 'the normalizer "Lowercase"'],
    ['NFKC', { normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, { type: 'NFKC' }] } }, '"NFKC"'],
    ['Replace', { normalizer: { type: 'Replace', pattern: { String: 'a' }, content: 'b' } }, '"Replace"'],
    ['add_prefix_space', { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true } }, 'add_prefix_space'],
  ])('%s is refused, unless --pre says the name', (_, fields, words) => {
    expect(() => entries(change(fields))).toThrow(
      expect.objectContaining({
        code: 'PRE_TOKENIZER_UNKNOWN',
        details: { file: 'tokenizer.json', problem: expect.stringContaining(words) as string },
      }) as Error,
    )
    expect(entries(change(fields), { pre: 'gpt-2' }).get('pre')).toBe('gpt-2')
  })

  it('nothing and NFC are what llama.cpp works with', () => {
    expect(entries(change({ normalizer: null })).has('normalizer.nfc')).toBe(false)
    expect(entries(change({ normalizer: { type: 'NFC' } })).get('normalizer.nfc')).toBe(true)
    expect(entries(change({ normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }] } })).get('pre')).toBe('gpt-2')
  })
})

describe('a SentencePiece model', () => {
  const read = (...bytes: number[]) =>
    entries({ tokenizer: undefined, sentencePiece: { name: 'tokenizer.model', bytes: Uint8Array.from(bytes) } })

  it('has pieces with scores and kinds, and added tokens in its places', () => {
    // Two pieces: "a" with the score -1.5, and "<s>" of the kind control (3).
    const pieces = [0x0a, 8, 0x0a, 1, 0x61, 0x15, 0, 0, 0xc0, 0xbf, 0x0a, 7, 0x0a, 3, 0x3c, 0x73, 0x3e, 0x18, 3]
    // trainer_spec: model_type (3) is BPE (2). normalizer_spec: add_dummy_prefix (3) is false.
    const found = read(...pieces, 0x12, 2, 0x18, 2, 0x1a, 2, 0x18, 0)
    expect(found.get('model')).toBe('llama')
    expect(found.get('tokens')).toEqual(['a', '<s>'])
    expect(found.get('scores')).toEqual([-1.5, 0])
    expect(found.get('token_type')).toEqual([1, 3])
    expect(found.get('add_space_prefix')).toBe(false)
  })

  it('is refused where it is damaged, whatever its bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          read(0x0a, ...bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError)
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('chat templates', () => {
  const templates = (files: Change): unknown[][] => [...entries(files)].filter(([key]) => key.startsWith('chat_template'))

  it('come from tokenizer_config.json first, then chat_template.jinja, then chat_template.json', () => {
    const chatTemplateJson = { chat_template: 'json' }
    expect(templates({ chatTemplateJson })).toEqual([['chat_template', 'json']])
    expect(templates({ chatTemplateJson, chatTemplate: 'jinja' })).toEqual([['chat_template', 'jinja']])
    const config = { chat_template: 'config' }
    expect(templates({ chatTemplateJson, chatTemplate: 'jinja', config })).toEqual([['chat_template', 'config']])
    expect(notes({ chatTemplate: 'jinja', config }).at(-1)).toBe(
      'The chat template is that of tokenizer_config.json; chat_template.jinja holds another, which is not used.',
    )
    expect(notes({ chatTemplate: 'config', config }).join()).not.toContain('chat template')
  })

  it('may be named by an object', () => {
    const found = entries({ config: { chat_template: { default: 'A', rag: 'B' } } })
    expect([found.get('chat_template'), found.get('chat_template.rag')]).toEqual(['A', 'B'])
  })

  it('may be several, in files of their own beside chat_template.jinja', () => {
    const additionalTemplates = new Map([
      ['rag', 'B'],
      ['tool-use', 'C'],
    ])
    const found = entries({ chatTemplate: 'A', additionalTemplates })
    expect(found.get('chat_template')).toBe('A')
    expect(found.get('chat_template.rag')).toBe('B')
    expect(found.get('chat_template.tool_use')).toBe('C')
    expect(found.get('chat_templates')).toEqual(['rag', 'tool_use'])
    expect(templates({ additionalTemplates })).toEqual([])
  })

  it('are none where they are empty', () => {
    expect(templates({ chatTemplate: 'jinja', config: { chat_template: '' } })).toEqual([['chat_template', 'jinja']])
  })

  it('may be several, by name', () => {
    const chat_template = [
      { name: 'tool-use', template: 'b' },
      { name: 'default', template: 'a' },
      { name: 'rag', template: 'c' },
      { name: '', template: 'd' },
    ]
    expect(templates({ config: { chat_template } })).toEqual([
      ['chat_template.tool_use', 'b'],
      ['chat_template.rag', 'c'],
      ['chat_templates', ['tool_use', 'rag']],
      ['chat_template', 'a'],
    ])
  })
})

it('says in a FormatError what is wrong with any JSON', () => {
  const shaken = fc.record(
    {
      model: fc.oneof(
        fc.jsonValue(),
        fc.record({
          type: fc.constantFrom('BPE', 'Unigram', 'WordPiece'),
          vocab: fc.jsonValue(),
          merges: fc.jsonValue(),
          byte_fallback: fc.boolean(),
        }),
      ),
      pre_tokenizer: fc.oneof(fc.jsonValue(), fc.constant({ type: 'ByteLevel' })),
      post_processor: fc.oneof(
        fc.jsonValue(),
        fc.record({ type: fc.constant('TemplateProcessing'), single: fc.jsonValue(), pair: fc.jsonValue() }),
      ),
      added_tokens: fc.jsonValue(),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(shaken, fc.jsonValue(), fc.jsonValue(), (change, config, modelConfig) => {
      try {
        entries({ tokenizer: { ...tokenizer, ...change }, config, modelConfig })
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError)
      }
    }),
    { numRuns: 500 },
  )
})

describe('tekken.json', () => {
  const pattern = String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
  const vocab = [...Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)), 'ab', 'bc', 'abc', 'xyz'].map(
    (bytes, rank) => ({ rank, token_bytes: Buffer.from(bytes, 'latin1').toString('base64'), token_str: null }),
  )
  const config = { pattern, default_vocab_size: 281, default_num_special_tokens: 22, version: 'v3' }
  const file = (change: object = {}, configChange: object = {}): Change => ({
    tokenizer: undefined,
    tekken: { config: { ...config, ...configChange }, vocab, ...change },
  })

  it('counts ranks behind the special tokens, and merges a token from all pairs of lower ranks', () => {
    const found = entries(file(), { vocabularySize: 283 })
    const tokens = found.get('tokens') as string[]
    expect([tokens[1], tokens[21], tokens[22 + 97], tokens[280], tokens[281]]).toEqual([
      '<s>',
      '<SPECIAL_21>',
      'a',
      'abc',
      '[PAD281]',
    ])
    expect(found.get('merges')).toEqual(['a b', 'b c', 'a bc', 'ab c'])
    expect([found.get('pre'), found.get('bos_token_id'), found.get('padding_token_id')]).toEqual(['tekken', 1, 11])
  })

  it.each<[string, Change, string]>([
    ['another pattern', file({}, { pattern: '.' }), 'PRE_TOKENIZER_UNKNOWN'],
    ['more tokens than there are', file({}, { default_vocab_size: 300 }), 'TOKENIZER_INVALID'],
    ['a new version without its special tokens', file({}, { version: 'v13' }), 'TOKENIZER_INVALID'],
    ['a token that no two others make', file({}, { default_vocab_size: 282 }), 'TOKENIZER_INVALID'],
    ['ranks out of order', file({ vocab: vocab.toReversed() }), 'TOKENIZER_INVALID'],
  ])('is refused with %s', (_, files, code) => {
    expect(() => entries(files)).toThrow(expect.objectContaining({ code }))
  })
})
