import type { GgufDigest } from './digest.js'

const extraIds = [
  'tokenizer.ggml.tokens',
  'tokenizer.ggml.scores',
  'tokenizer.ggml.token_type',
  'tokenizer.ggml.add_bos_token',
] as const

/** Keys and tensors in which our file differs from that of llama.cpp's converter on purpose, and why: see docs/decisions. */
const better: Readonly<Record<string, readonly [reason: string, ...names: string[]]>> = {
  'gpt-neox': ["the converter forgets it for this class alone, and llama.cpp's quantizer writes it", 'general.file_type'],
  exaone: [
    'its norms are RMS norms, without whose epsilon llama.cpp does not load it',
    'exaone.attention.layer_norm_rms_epsilon',
  ],
  dbrx: ['routers stay F32, as in all other models', 'blk.0.ffn_gate_inp.weight', 'blk.1.ffn_gate_inp.weight'],
  arctic: [
    'special tokens are never merged, whatever their score, and are as in other SentencePiece files',
    'tokenizer.ggml.scores',
    'tokenizer.ggml.token_type',
  ],
  'ministral3-tekken': [
    'scores are floats, and the name of a template is none',
    'tokenizer.ggml.scores',
    'tokenizer.chat_template',
  ],
  ...Object.fromEntries(
    ['mistral-params', 'ministral3-params', 'mistral-large3-params'].map((name) => [
      name,
      ['scores are floats', 'tokenizer.ggml.scores'],
    ]),
  ),
  'deepseek-v4': [
    'FP8 becomes the type that was asked for, and not Q8_0 whatever that is',
    'blk.0.attn_q_a.weight',
    'blk.1.attn_q_a.weight',
    'blk.2.attn_q_a.weight',
  ],
  ...Object.fromEntries(
    ['nemotron-nas', 'decilm-7b'].map((name) => [
      name,
      ['those of tokenizer.model, where the converter has a placeholder', 'tokenizer.ggml.scores'],
    ]),
  ),
  ...Object.fromEntries(
    ['minicpm-v4.6', 'minicpm-v4.7'].map((name) => [
      name,
      [
        'layers for multi-token prediction are left out and not counted; only generation_config.json names the first token',
        'qwen35.block_count',
        'qwen35.nextn_predict_layers',
        'qwen35.attention.recurrent_layers',
        'tokenizer.ggml.bos_token_id',
      ],
    ]),
  ),
  minicpm3: ['config.json lists a second token that ends a text', 'tokenizer.ggml.eot_token_id'],
  camembert: [
    'its vocabulary is Unigram, which the converter writes as WordPiece, and its first positions are none',
    'tokenizer.ggml.model',
    // the same, at another place in the file
    'tokenizer.ggml.token_type_count',
    'tokenizer.ggml.tokens',
    'tokenizer.ggml.scores',
    'tokenizer.ggml.token_type',
    'tokenizer.ggml.add_space_prefix',
    'tokenizer.ggml.remove_extra_whitespaces',
    'tokenizer.ggml.precompiled_charsmap',
    'bert.context_length',
    'position_embd.weight',
  ],
  baichuan: [
    'the converter, which is kept from calling itself without end, leaves out that Baichuan 2 normalizes its rows',
    'output.weight',
  ],
  'hunyuan-ocr': ['tokenizer_config.json names it', 'tokenizer.ggml.padding_token_id'],
  'hunyuan-moe': [
    "the converter's first token is the one of the published vocabulary, and both keys of bos and eos are always written",
    'tokenizer.ggml.bos_token_id',
    'tokenizer.ggml.add_bos_token',
    'tokenizer.ggml.add_eos_token',
  ],
  qwen: [
    'llama.cpp does not load it without the epsilon, and both keys of bos and eos are always written',
    'qwen.attention.layer_norm_rms_epsilon',
    'tokenizer.ggml.add_bos_token',
    'tokenizer.ggml.add_eos_token',
  ],
  mpt: ['the converter forgets it for this class', 'general.file_type'],
  xverse: ['llama.cpp merges by scores, which the converter leaves out', 'tokenizer.ggml.scores'],
  'glm-4-9b-hf': [
    'the converter takes the width for the context, and an epsilon of its own',
    'chatglm.context_length',
    'chatglm.attention.layer_norm_rms_epsilon',
  ],
  gemma3n: [
    'pieces of the user in tokenizer.model; the nearest f32, from which torch is one off',
    'tokenizer.ggml.tokens',
    'tokenizer.ggml.token_type',
    'gemma3n.activation_sparsity_scale',
  ],
  deepseek: ['a name for each row', 'tokenizer.ggml.tokens'],
  ...Object.fromEntries(
    ['bert-cross-encoder', 'bert-classifier'].map((name) => [
      name,
      ["the pooler is the first matrix of the classifier's head", 'cls.weight', 'cls.bias', 'general.size_label'],
    ]),
  ),
  ...Object.fromEntries(
    ['xlm-roberta', 'xlm-roberta-reranker', 'jina-embeddings-v3'].map((name) => [
      name,
      ['the last row is <mask>', 'tokenizer.ggml.tokens', 'tokenizer.ggml.scores', 'tokenizer.ggml.token_type'],
    ]),
  ),
  t5: ['extra ids have their names, and logits of a tied embedding are scaled', ...extraIds, 'dec.output_norm.weight'],
  ...Object.fromEntries(['flan-t5', 'umt5', 'mt5'].map((name) => [name, ['extra ids have their names', ...extraIds]])),
  't5-encoder': ['it looks both ways, and extra ids have their names', ...extraIds, 't5encoder.attention.causal'],
  'kimi-k2-ranks': [
    'tokenizer_config.json names them, and both keys of bos and eos are always written',
    'tokenizer.ggml.unknown_token_id',
    'tokenizer.ggml.padding_token_id',
    'tokenizer.ggml.add_bos_token',
    'tokenizer.ggml.add_eos_token',
  ],
  'glm4.7-flash': ['llama.cpp need not guess how experts are chosen', 'deepseek2.expert_gating_func'],
  'mistral-small4': [
    'attention is scaled by position beyond the first context',
    'mistral4.attention.temperature_scale',
    'mistral4.attention.temperature_length',
  ],
  phimoe: ['attention is scaled by the factor that config.json names (short_mscale)', 'phimoe.rope.scaling.attn_factor'],
  bamba: ['half of each head is rotated, and the converter reorders all of it', 'blk.1.attn_q.weight', 'blk.1.attn_k.weight'],
  'nemotron3-super-mtp': ['routers are F32 in all layers', 'blk.6.ffn_gate_inp.weight'],
  ...Object.fromEntries(
    ['gemma4', 'gemma4-dense', 'gemma4-moe'].map((name) => [
      name,
      ['added tokens that are special', 'tokenizer.ggml.token_type'],
    ]),
  ),
  ...Object.fromEntries(
    ['gemma', 'gemma2', 'gemma3', 'gemma3-vision', 'embeddinggemma'].map((name) => [
      name,
      ['pieces of the user in tokenizer.model', 'tokenizer.ggml.tokens', 'tokenizer.ggml.token_type'],
    ]),
  ),
  ...Object.fromEntries(
    ['dots1', 'llada-moe', 'qwen3.5', 'qwen3.5-text', 'qwen3.5-moe', 'qwen3.5-moe-text', 'qwen3.5-no-mtp', 'qwen3.5-bare'].map(
      (name) => [name, ['only generation_config.json names it', 'tokenizer.ggml.bos_token_id']],
    ),
  ),
}

/** The keys and tensors of a case that are ours on purpose; none for most. */
export function betterNames(name: string): readonly string[] {
  return better[name]?.slice(1) ?? []
}

/** What differs on purpose, in words; undefined where all is to be equal. */
export function betterReason(name: string): string | undefined {
  const found = better[name]
  return found === undefined ? undefined : `but ${found.slice(1).join(', ')}: ${found[0]}`
}

/** A digest without what differs on purpose. */
export function comparable(name: string, digest: GgufDigest): GgufDigest {
  const left = new Set(betterNames(name))
  const without = (entries: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(Object.entries(entries).filter(([key]) => !left.has(key)))
  return { keys: without(digest.keys), tensors: without(digest.tensors) }
}
