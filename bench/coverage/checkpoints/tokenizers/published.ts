import type { Json } from '../spec.js'
import { byteLevel, templateProcessing } from './byte-level.js'
import { turns } from './byte-level-models.js'
import { fallbackTokenizer, llamaPieces, type Piece, sentencePieceModel, usualFirst } from './sentence-piece.js'

type Files = Readonly<Record<string, unknown>>

/** Llama 3's: 288 tokens, <|begin_of_text|> 288 and so on, as rows of 320. */
export const llama3Files: Files = {
  ...byteLevel({
    pre: 'llama-bpe',
    added: [
      '<|begin_of_text|>',
      '<|end_of_text|>',
      '<|start_header_id|>',
      '<|end_header_id|>',
      '<|eom_id|>',
      '<|eot_id|>',
      ...Array.from({ length: 26 }, (_, index) => `<|reserved_special_token_${index}|>`),
    ],
    template: { before: '<|begin_of_text|>' },
    config: {
      bos_token: '<|begin_of_text|>',
      chat_template: `{{- bos_token }}${turns('<|start_header_id|>', '<|eot_id|>')}`,
      clean_up_tokenization_spaces: true,
      eos_token: '<|eot_id|>',
      model_input_names: ['input_ids', 'attention_mask'],
      model_max_length: 131072,
      tokenizer_class: 'PreTrainedTokenizerFast',
    },
  }),
  'generation_config.json': {
    bos_token_id: 288,
    do_sample: true,
    eos_token_id: [289, 292, 293],
    temperature: 0.6,
    top_p: 0.9,
    transformers_version: '4.45.0.dev0',
  },
}

/** Qwen2's: 3 and more added tokens after 288, holes up to 320. */
export function qwenFiles(pre = 'qwen2', config: Json = {}, moreMerges: readonly (readonly [string, string])[] = []): Files {
  const plain = ['<tool_call>', '</tool_call>', '<think>', '</think>'].map((content) => ({ content, special: false }))
  return {
    ...byteLevel({
      pre,
      moreMerges,
      normalizer: { type: 'NFC' },
      added: ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<|vision_start|>', '<|image_pad|>', ...plain],
      config: {
        add_bos_token: false,
        add_prefix_space: false,
        additional_special_tokens: ['<|im_start|>', '<|im_end|>', '<|vision_start|>', '<|image_pad|>'],
        bos_token: null,
        chat_template: turns('<|im_start|>', '<|im_end|>'),
        clean_up_tokenization_spaces: false,
        eos_token: '<|im_end|>',
        errors: 'replace',
        model_max_length: 131072,
        pad_token: '<|endoftext|>',
        split_special_tokens: false,
        tokenizer_class: 'Qwen2Tokenizer',
        unk_token: null,
        ...config,
      },
    }),
    'generation_config.json': {
      bos_token_id: 288,
      do_sample: true,
      eos_token_id: [290, 288],
      pad_token_id: 288,
      temperature: 0.6,
      top_k: 20,
      top_p: 0.95,
      transformers_version: '4.51.0',
    },
  }
}

/** Qwen3-Embedding's: a text ends with a token, the last one is what is pooled; modules.json of sentence-transformers. */
export function qwenEmbeddingFiles(): Files {
  const { 'tokenizer.json': tokenizer, ...rest } = qwenFiles()
  const processors = [
    { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    templateProcessing(undefined, '<|endoftext|>', () => 288, [0, 0]),
  ]
  return {
    ...rest,
    'tokenizer.json': { ...(tokenizer as Json), post_processor: { type: 'Sequence', processors } },
    ...poolingFiles('lasttoken'),
  }
}

/** What sentence-transformers keeps beside an embedding model. */
export function poolingFiles(mode: 'cls_token' | 'mean_tokens' | 'lasttoken', size = 64): Files {
  const modes = ['cls_token', 'mean_tokens', 'max_tokens', 'mean_sqrt_len_tokens', 'weightedmean_tokens', 'lasttoken']
  return {
    'modules.json': ['', '1_Pooling', '2_Normalize'].map((path, idx) => ({
      idx,
      name: String(idx),
      path,
      type: `sentence_transformers.models.${['Transformer', 'Pooling', 'Normalize'][idx]}`,
    })),
    '1_Pooling/config.json': {
      word_embedding_dimension: size,
      ...Object.fromEntries(modes.map((name) => [`pooling_mode_${name}`, name === mode])),
      include_prompt: true,
    },
    'config_sentence_transformers.json': {
      prompts: { query: 'Query:', document: '' },
      default_prompt_name: null,
      similarity_fn_name: 'cosine',
    },
  }
}

/** Qwen3-Reranker's: its answers are one token each. */
export function qwenRerankerFiles(): Files {
  const { 'tokenizer.json': tokenizer, ...rest } = qwenFiles('qwen2', {}, [
    ['y', 'es'],
    ['n', 'o'],
  ])
  // The two answers move the special tokens up.
  const generation = rest['generation_config.json'] as Json
  return {
    ...rest,
    'tokenizer.json': tokenizer,
    'generation_config.json': { ...generation, bos_token_id: 290, eos_token_id: [292, 290], pad_token_id: 290 },
    'README.md': '---\nlicense: apache-2.0\npipeline_tag: text-ranking\n---\n# Qwen3-Reranker-0.6B\n',
  }
}

const flags = { lstrip: false, normalized: false, rstrip: false, single_word: false }
interface AddedEntry {
  readonly id: number
  readonly content: string
  readonly special: boolean
  readonly rstrip: boolean
}
const withId = (content: string, id: number, special = true): AddedEntry => ({ id, content, ...flags, special })

/** Llama 2's and Mistral's: tokenizer.model beside tokenizer.json; fewer pieces than rows. */
export function llama2Files(config: Json = {}): Files {
  const pieces = llamaPieces(usualFirst)
  const added = ['<unk>', '<s>', '</s>'].map((content, id) => withId(content, id))
  return {
    'tokenizer.model': sentencePieceModel(pieces),
    'tokenizer.json': fallbackTokenizer(pieces, added),
    'tokenizer_config.json': {
      add_bos_token: true,
      add_eos_token: false,
      added_tokens_decoder: Object.fromEntries(
        ['<unk>', '<s>', '</s>'].map((content, id) => [String(id), { content, ...flags, special: true }]),
      ),
      bos_token: '<s>',
      chat_template: "{{ bos_token }}{% for message in messages %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endfor %}",
      clean_up_tokenization_spaces: false,
      eos_token: '</s>',
      legacy: true,
      model_max_length: 1000000000000000019884624838656,
      pad_token: null,
      sp_model_kwargs: {},
      tokenizer_class: 'LlamaTokenizer',
      unk_token: '<unk>',
      use_default_system_prompt: false,
      ...config,
    },
  }
}

/** InternLM 2's: as many pieces as rows, its special tokens among the unused ones at the end; no tokenizer.json. 313 rows. */
export function internLm2Files(): Files {
  const last = ['[UNUSED_TOKEN_145]', '[UNUSED_TOKEN_146]', '[UNUSED_TOKEN_147]'].map(
    (text): Piece => ({ text, score: 0, kind: 'normal' }),
  )
  const pieces = llamaPieces(usualFirst, last)
  const { 'tokenizer_config.json': config } = llama2Files() as Readonly<Record<string, Json>>
  const entry = (content: string): Json => ({ content, ...flags, special: true })
  const count = pieces.length
  return {
    'tokenizer.model': sentencePieceModel(pieces),
    'tokenizer_config.json': {
      ...config,
      added_tokens_decoder: {
        0: entry('<unk>'),
        1: entry('<s>'),
        2: entry('</s>'),
        [count - 2]: entry('<|im_end|>'),
        [count - 1]: entry('<|im_start|>'),
      },
      auto_map: {
        AutoTokenizer: ['tokenization_internlm2.InternLM2Tokenizer', 'tokenization_internlm2_fast.InternLM2TokenizerFast'],
      },
      tokenizer_class: 'InternLM2Tokenizer',
    },
  }
}

/** Phi-3's: Llama 2's with added tokens at the end, some of which remove the space behind them. */
export function phi3Files(): Files {
  const pieces = llamaPieces(usualFirst)
  const texts = ['<|endoftext|>', '<|assistant|>', '<|placeholder1|>', '<|system|>', '<|end|>', '<|user|>']
  const first = 320 - texts.length
  const added = [
    ...['<unk>', '<s>', '</s>'].map((content, id) => ({ ...withId(content, id), rstrip: id === 2, special: id !== 2 })),
    ...texts.map((content, index) => ({ ...withId(content, first + index), rstrip: index > 0 })),
  ]
  const { 'tokenizer_config.json': config, ...rest } = llama2Files()
  return {
    ...rest,
    'added_tokens.json': Object.fromEntries(texts.map((content, index) => [content, first + index])),
    'tokenizer.json': fallbackTokenizer(pieces, added),
    'tokenizer_config.json': {
      ...(config as Json),
      add_bos_token: false,
      added_tokens_decoder: Object.fromEntries(added.map(({ id, ...token }) => [String(id), token])),
      chat_template: `${turns('<|', '<|end|>')}{{ eos_token }}`,
      eos_token: '<|endoftext|>',
      legacy: false,
      model_max_length: 4096,
      pad_token: '<|endoftext|>',
      padding_side: 'left',
    },
  }
}

/** Gemma's: <pad> first, no space before a text, tokens of turns within the vocabulary. */
export function gemmaFiles(config: Json = {}): Files {
  const first: Piece[] = [
    { text: '<pad>', score: 0, kind: 'control' },
    { text: '<eos>', score: 0, kind: 'control' },
    { text: '<bos>', score: 0, kind: 'control' },
    { text: '<unk>', score: 0, kind: 'unknown' },
    { text: '<mask>', score: 0, kind: 'userDefined' },
    { text: '<start_of_turn>', score: 0, kind: 'userDefined' },
    { text: '<end_of_turn>', score: 0, kind: 'userDefined' },
    { text: '<unused0>', score: 0, kind: 'userDefined' },
  ]
  const last: Piece[] = [{ text: '▁▁', score: -100, kind: 'userDefined' }]
  const pieces = llamaPieces(first, last)
  const added = first.map(({ text }, id) => withId(text, id, !text.startsWith('<unused')))
  return {
    'tokenizer.model': sentencePieceModel(pieces, { dummyPrefix: false, ids: [3, 2, 1, 0] }),
    'tokenizer.json': fallbackTokenizer(pieces, added, {
      normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false },
      post_processor: {
        type: 'TemplateProcessing',
        single: [{ SpecialToken: { id: '<bos>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
        pair: [
          { SpecialToken: { id: '<bos>', type_id: 0 } },
          { Sequence: { id: 'A', type_id: 0 } },
          { SpecialToken: { id: '<bos>', type_id: 1 } },
          { Sequence: { id: 'B', type_id: 1 } },
        ],
        special_tokens: { '<bos>': { id: '<bos>', ids: [2], tokens: ['<bos>'] } },
      },
      decoder: {
        type: 'Sequence',
        decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }],
      },
    }),
    'tokenizer_config.json': {
      add_bos_token: true,
      add_eos_token: false,
      added_tokens_decoder: Object.fromEntries(added.map(({ id, ...token }) => [String(id), token])),
      additional_special_tokens: ['<start_of_turn>', '<end_of_turn>'],
      bos_token: '<bos>',
      chat_template: `{{ bos_token }}${turns('<start_of_turn>', '<end_of_turn>')}`,
      clean_up_tokenization_spaces: false,
      eos_token: '<eos>',
      model_max_length: 1000000000000000019884624838656,
      pad_token: '<pad>',
      sp_model_kwargs: {},
      spaces_between_special_tokens: false,
      tokenizer_class: 'GemmaTokenizer',
      unk_token: '<unk>',
      use_default_system_prompt: false,
      ...config,
    },
  }
}

/** Gemma 4's: tokenizer.json alone, as many entries as rows; some tokens are shown though they are special. */
export function gemma4Files(): Files {
  const special = ['<|turn>', '<turn|>', '<|channel>', '<channel|>', '<|tool_call>', '<tool_call|>', '<|"|>']
  const control = (text: string): Piece => ({ text, score: 0, kind: 'control' })
  const first = ['<pad>', '<eos>', '<bos>'].map(control)
  const start = llamaPieces([...first, { text: '<unk>', score: 0, kind: 'unknown' }, ...['<mask>', '[multimodal]'].map(control)])
  const filling = Array.from({ length: 320 - start.length - special.length }, (_, index) => `<unused${index}>`)
  const pieces = [...start, ...[...special, ...filling].map(control)]
  const added = pieces.flatMap(({ text, kind }, id) => (kind === 'byte' || kind === 'normal' ? [] : [withId(text, id)]))
  const { 'tokenizer.json': tokenizer, 'tokenizer_config.json': config } = gemmaFiles() as Readonly<Record<string, Json>>
  const { normalizer, pre_tokenizer, decoder } = tokenizer as Json
  return {
    'tokenizer.json': fallbackTokenizer(pieces, added, { normalizer, pre_tokenizer, decoder, post_processor: null }),
    'tokenizer_config.json': {
      bos_token: '<bos>',
      clean_up_tokenization_spaces: false,
      eos_token: '<eos>',
      extra_special_tokens: [],
      mask_token: '<mask>',
      model_max_length: (config as Json)['model_max_length'],
      pad_token: '<pad>',
      padding_side: 'left',
      processor_class: 'Gemma4Processor',
      tokenizer_class: 'GemmaTokenizer',
      unk_token: '<unk>',
    },
    'chat_template.jinja': `{{ bos_token }}${turns('<|turn>', '<turn|>')}`,
    'generation_config.json': {
      bos_token_id: 2,
      do_sample: true,
      eos_token_id: [1, 314],
      pad_token_id: 0,
      temperature: 1,
      top_k: 64,
      top_p: 0.95,
    },
  }
}
