import type { Json } from '../spec.js'
import { type Added, byteLevel } from './byte-level.js'

type Files = Readonly<Record<string, unknown>>

/** A chat template of a turn's start and end. */
export function turns(start: string, end: string): string {
  return `{% for message in messages %}{{ '${start}' + message['role'] + '\\n' + message['content'] + '${end}' + '\\n' }}{% endfor %}`
}

interface Model {
  readonly pre: string
  readonly added: readonly (string | Added)[]
  readonly config: Json
  readonly template?: { readonly before?: string; readonly after?: string }
  readonly addedFirst?: boolean
  readonly normalizer?: Json
  readonly postProcessor?: Json
  readonly joinedMerges?: boolean
  /** generation_config.json. */
  readonly generation?: Json
}

const plain = (...texts: string[]): Added[] => texts.map((content) => ({ content, special: false }))
const fast = { clean_up_tokenization_spaces: false, model_max_length: 131072, tokenizer_class: 'PreTrainedTokenizerFast' }
const llamaFast = { ...fast, tokenizer_class: 'LlamaTokenizerFast' }

const deepseekAdded = [
  '<｜begin▁of▁sentence｜>',
  '<｜end▁of▁sentence｜>',
  '<｜▁pad▁｜>',
  ...plain('<｜fim▁hole｜>', '<｜fim▁begin｜>', '<｜fim▁end｜>', '<｜User｜>', '<｜Assistant｜>'),
]
const deepseekConfig = {
  ...llamaFast,
  add_bos_token: true,
  add_eos_token: false,
  bos_token: {
    __type: 'AddedToken',
    content: '<｜begin▁of▁sentence｜>',
    lstrip: false,
    normalized: true,
    rstrip: false,
    single_word: false,
  },
  chat_template: turns('<｜', '<｜end▁of▁sentence｜>'),
  eos_token: {
    __type: 'AddedToken',
    content: '<｜end▁of▁sentence｜>',
    lstrip: false,
    normalized: true,
    rstrip: false,
    single_word: false,
  },
  legacy: true,
  pad_token: { __type: 'AddedToken', content: '<｜▁pad▁｜>', lstrip: false, normalized: true, rstrip: false, single_word: false },
  sp_model_kwargs: {},
  unk_token: null,
}
const phiPad = ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<|im_sep|>', '<|fim_prefix|>', '<|fim_middle|>', '<|fim_suffix|>']

/** Byte-level tokenizers of published models: their own special tokens over the tiny vocabulary. */
const models = {
  deepseek: { pre: 'deepseek-v3', added: deepseekAdded, config: deepseekConfig, template: { before: '<｜begin▁of▁sentence｜>' } },
  deepseekLlm: {
    pre: 'deepseek-llm',
    added: deepseekAdded,
    config: deepseekConfig,
    template: { before: '<｜begin▁of▁sentence｜>' },
  },
  kimi: {
    pre: 'kimi-k2',
    added: ['[BOS]', '[EOS]', '<|im_end|>', '<|im_user|>', '<|media_pad|>', '<|im_assistant|>', '[UNK]', '[PAD]'],
    config: {
      ...fast,
      bos_token: '[BOS]',
      eos_token: '<|im_end|>',
      pad_token: '[PAD]',
      unk_token: '[UNK]',
      chat_template: turns('<|im_', '<|im_end|>'),
    },
  },
  glm: {
    pre: 'glm4',
    added: [
      '<|endoftext|>',
      '[MASK]',
      '[gMASK]',
      '<|user|>',
      '<|observation|>',
      '[sMASK]',
      '<sop>',
      '<eop>',
      '<|system|>',
      '<|assistant|>',
      ...plain('<think>', '</think>'),
    ],
    config: {
      ...fast,
      additional_special_tokens: [
        '<|endoftext|>',
        '[MASK]',
        '[gMASK]',
        '[sMASK]',
        '<sop>',
        '<eop>',
        '<|system|>',
        '<|user|>',
        '<|assistant|>',
        '<|observation|>',
      ],
      chat_template: `[gMASK]<sop>${turns('<|', '')}`,
      do_lower_case: false,
      eos_token: '<|endoftext|>',
      extra_special_tokens: {},
      pad_token: '<|endoftext|>',
      padding_side: 'left',
      remove_space: false,
    },
    generation: {
      eos_token_id: [288, 291, 292],
      pad_token_id: 288,
      temperature: 0.6,
      top_p: 0.95,
      transformers_version: '4.54.0',
    },
  },
  gptOss: {
    pre: 'gpt-4o',
    added: [
      '<|startoftext|>',
      '<|endoftext|>',
      '<|return|>',
      '<|constrain|>',
      '<|channel|>',
      '<|start|>',
      '<|end|>',
      '<|message|>',
      '<|call|>',
    ],
    config: {
      ...fast,
      bos_token: '<|startoftext|>',
      eos_token: '<|return|>',
      extra_special_tokens: {},
      model_input_names: ['input_ids', 'attention_mask'],
      pad_token: '<|endoftext|>',
    },
    generation: {
      bos_token_id: 288,
      do_sample: true,
      eos_token_id: [290, 289, 296],
      pad_token_id: 289,
      transformers_version: '4.55.0.dev0',
    },
  },
  phi4: {
    pre: 'dbrx',
    added: phiPad,
    config: {
      ...fast,
      add_prefix_space: false,
      bos_token: '<|endoftext|>',
      chat_template: turns('<|im_start|>', '<|im_end|>'),
      eos_token: '<|im_end|>',
      pad_token: '<|endoftext|>',
      tokenizer_class: 'GPT2Tokenizer',
      unk_token: '<|endoftext|>',
    },
  },
  phi2: {
    pre: 'phi-2',
    added: ['<|endoftext|>', ...plain('                               ', '                ', '\t\t\t')],
    config: {
      ...fast,
      add_bos_token: false,
      add_prefix_space: false,
      bos_token: '<|endoftext|>',
      eos_token: '<|endoftext|>',
      model_max_length: 2048,
      return_token_type_ids: false,
      tokenizer_class: 'CodeGenTokenizer',
      unk_token: '<|endoftext|>',
    },
  },
  tekken: {
    pre: 'tekken',
    added: [
      '<unk>',
      '<s>',
      '</s>',
      '[INST]',
      '[/INST]',
      '[AVAILABLE_TOOLS]',
      '[IMG]',
      '<pad>',
      '[IMG_BREAK]',
      '[IMG_END]',
      '[SYSTEM_PROMPT]',
      '[/SYSTEM_PROMPT]',
    ],
    addedFirst: true,
    template: { before: '<s>' },
    config: {
      ...fast,
      add_bos_token: true,
      add_eos_token: false,
      bos_token: '<s>',
      chat_template: "{{ bos_token }}{% for message in messages %}{{ '[INST]' + message['content'] + '[/INST]' }}{% endfor %}",
      eos_token: '</s>',
      extra_special_tokens: {},
      legacy: true,
      model_max_length: 1000000000000000019884624838656,
      pad_token: '<pad>',
      padding_side: 'left',
      tokenizer_class: 'TokenizersBackend',
      unk_token: '<unk>',
    },
  },
  miniMax: {
    pre: 'minimax-m2',
    added: [
      ']~!b[',
      '[e~[',
      ']~b]',
      ']!p~[',
      '<fim_prefix>',
      '<fim_middle>',
      '<fim_suffix>',
      ...plain('<think>', '</think>', '<minimax:tool_call>', '</minimax:tool_call>'),
    ],
    config: {
      ...fast,
      add_prefix_space: false,
      bos_token: ']~!b[',
      chat_template: `]~!b[${turns(']~b]', '[e~[')}`,
      eos_token: '[e~[',
      tokenizer_class: 'GPT2Tokenizer',
      unk_token: ']!p~[',
    },
    generation: { bos_token_id: 288, do_sample: true, eos_token_id: 289, top_k: 40, top_p: 0.95, transformers_version: '4.46.1' },
  },
  seed: {
    pre: 'seed-coder',
    added: ['<seed:bos>', '<seed:pad>', '<seed:eos>', '<seed:think>', '</seed:think>', '<seed:tool_call>', '</seed:tool_call>'],
    template: { before: '<seed:bos>' },
    config: {
      ...fast,
      bos_token: '<seed:bos>',
      chat_template: turns('<seed:bos>', '<seed:eos>'),
      eos_token: '<seed:eos>',
      pad_token: '<seed:pad>',
    },
  },
} satisfies Readonly<Record<string, Model>>

/** tokenizer.json, tokenizer_config.json and, where the model has it, generation_config.json; and llama.cpp's name of the pre-tokenizer. */
export function byteLevelModel(name: keyof typeof models): { readonly files: Files; readonly pre: string } {
  const { generation, ...model }: Model = models[name]
  return {
    pre: model.pre,
    files: { ...byteLevel(model), ...(generation === undefined ? {} : { 'generation_config.json': generation }) },
  }
}
