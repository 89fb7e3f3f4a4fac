import type { SmallCheckpoint } from './checkpoints.js'

// Small checkpoints of the shapes that real models come in and the samples do not show.

type Tensors = SmallCheckpoint['tensors']

const vocabulary = 2048

/** Llama 3.2: tied embeddings, frequencies divided, head_dim that does not follow from hidden_size, biases, rows of 48. */
export const llama3Rope: SmallCheckpoint = {
  config: {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    _name_or_path: 'kjv-lab/Little-Llama-3.2-1B-Instruct',
    attention_bias: true,
    mlp_bias: true,
    bos_token_id: 2043,
    eos_token_id: [2044, 2047],
    head_dim: 64,
    hidden_size: 96,
    intermediate_size: 48,
    max_position_embeddings: 131072,
    num_attention_heads: 4,
    num_hidden_layers: 1,
    num_key_value_heads: 2,
    rms_norm_eps: 1e-5,
    rope_scaling: {
      factor: 32.0,
      high_freq_factor: 4.0,
      low_freq_factor: 1.0,
      original_max_position_embeddings: 8192,
      rope_type: 'llama3',
    },
    rope_theta: 500000.0,
    tie_word_embeddings: true,
    vocab_size: vocabulary,
  },
  tensors: {
    ...llamaTensors('BF16', { hidden: 96, feedForward: 48, queries: 256, keys: 128 }),
    'model.layers.0.self_attn.q_proj.bias': ['BF16', 256],
    'model.layers.0.self_attn.k_proj.bias': ['BF16', 128],
    'model.layers.0.self_attn.v_proj.bias': ['F32', 128],
    'model.layers.0.self_attn.o_proj.bias': ['BF16', 96],
    'model.layers.0.mlp.gate_proj.bias': ['BF16', 48],
    'model.layers.0.mlp.up_proj.bias': ['BF16', 48],
    'model.layers.0.mlp.down_proj.bias': ['BF16', 96],
    'model.layers.0.self_attn.rotary_emb.inv_freq': ['F32', 32],
  },
  files: { 'generation_config.json': { top_k: 40, temperature: 1, repetition_penalty: 1.05, eos_token_id: [2044, 2047] } },
}

/** Mistral: no head_dim, linear scaling under its old name, F16, an embedding larger than the tokenizer, templates by name. */
export const mistralLinear: SmallCheckpoint = {
  config: {
    architectures: ['MistralForCausalLM'],
    model_type: 'mistral',
    bos_token_id: 2043,
    eos_token_id: 2047,
    hidden_size: 128,
    intermediate_size: 64,
    max_position_embeddings: 32768,
    num_attention_heads: 4,
    num_hidden_layers: 1,
    num_key_value_heads: 1,
    rms_norm_eps: 1e-5,
    rope_scaling: { factor: 4.0, type: 'linear' },
    rope_theta: 1000000.0,
    sliding_window: 4096,
    tie_word_embeddings: false,
    vocab_size: 2080,
  },
  tensors: {
    ...llamaTensors('F16', { hidden: 128, feedForward: 64, queries: 128, keys: 32 }),
    'model.embed_tokens.weight': ['F16', 2080, 128],
    'lm_head.weight': ['F16', 2080, 128],
  },
  files: {
    'tokenizer_config.json': {
      add_bos_token: true,
      add_prefix_space: false,
      bos_token: {
        __type: 'AddedToken',
        content: '<|begin_of_text|>',
        lstrip: false,
        normalized: false,
        rstrip: false,
        single_word: false,
      },
      eos_token: '<|eot_id|>',
      pad_token: '<|end_of_text|>',
      tokenizer_class: 'PreTrainedTokenizerFast',
      chat_template: [
        { name: 'default', template: '{{ messages[0].content }}' },
        { name: 'tool-use', template: '{{ tools }}' },
      ],
    },
  },
}

/** DeepSeek V2 Lite: no query compression, softmax, yarn, two dense layers first, tied embeddings. */
export const deepseekV2Lite: SmallCheckpoint = {
  config: {
    architectures: ['DeepseekV2ForCausalLM'],
    model_type: 'deepseek_v2',
    bos_token_id: 2043,
    eos_token_id: 2044,
    first_k_dense_replace: 1,
    hidden_size: 64,
    intermediate_size: 96,
    kv_lora_rank: 32,
    max_position_embeddings: 163840,
    moe_intermediate_size: 32,
    n_group: 1,
    n_routed_experts: 3,
    n_shared_experts: 2,
    norm_topk_prob: false,
    num_attention_heads: 2,
    num_experts_per_tok: 2,
    num_hidden_layers: 2,
    num_key_value_heads: 2,
    q_lora_rank: null,
    qk_nope_head_dim: 32,
    qk_rope_head_dim: 16,
    rms_norm_eps: 1e-6,
    rope_scaling: {
      beta_fast: 32,
      beta_slow: 1,
      factor: 40,
      mscale: 0.707,
      mscale_all_dim: 0.707,
      original_max_position_embeddings: 4096,
      type: 'yarn',
    },
    rope_theta: 10000,
    routed_scaling_factor: 1.5,
    scoring_func: 'softmax',
    tie_word_embeddings: true,
    topk_group: 1,
    topk_method: 'greedy',
    v_head_dim: 32,
    vocab_size: vocabulary,
  },
  tensors: {
    'model.embed_tokens.weight': ['BF16', vocabulary, 64],
    'model.norm.weight': ['BF16', 64],
    ...deepseekLayer(0, { hidden: 64, heads: 2, queryLatent: null, latent: 32, nope: 32, rope: 16, value: 32 }),
    ...feedForward('model.layers.0.mlp', 'BF16', 64, 96),
    ...deepseekLayer(1, { hidden: 64, heads: 2, queryLatent: null, latent: 32, nope: 32, rope: 16, value: 32 }),
    ...experts(1, 3, 64, 32, 2),
  },
}

/** DeepSeek V3 with a multi-token prediction layer, FP8 whose blocks do not divide its matrices, yarn. */
export const deepseekV3Mtp: SmallCheckpoint = {
  config: {
    ...deepseekV2Lite.config,
    architectures: ['DeepseekV3ForCausalLM'],
    model_type: 'deepseek_v3',
    hidden_size: 160,
    kv_lora_rank: 64,
    n_group: 2,
    n_routed_experts: 4,
    n_shared_experts: 1,
    moe_intermediate_size: 96,
    norm_topk_prob: true,
    num_nextn_predict_layers: 1,
    num_hidden_layers: 1,
    first_k_dense_replace: 0,
    q_lora_rank: 96,
    quantization_config: { activation_scheme: 'dynamic', fmt: 'e4m3', quant_method: 'fp8', weight_block_size: [64, 128] },
    rope_scaling: {
      beta_fast: 32,
      beta_slow: 1,
      factor: 40,
      mscale: 1.0,
      mscale_all_dim: 1.0,
      original_max_position_embeddings: 4096,
      type: 'yarn',
    },
    routed_scaling_factor: 2.5,
    scoring_func: 'sigmoid',
    tie_word_embeddings: false,
    topk_group: 1,
    topk_method: 'noaux_tc',
  },
  tensors: {
    'lm_head.weight': ['BF16', vocabulary, 160],
    'model.embed_tokens.weight': ['BF16', vocabulary, 160],
    'model.norm.weight': ['BF16', 160],
    ...[0, 1].reduce<Tensors>(
      (all, layer) => ({
        ...all,
        ...inFp8(
          {
            ...deepseekLayer(layer, { hidden: 160, heads: 2, queryLatent: 96, latent: 64, nope: 32, rope: 16, value: 32 }),
            ...experts(layer, 4, 160, 96, 1),
            [`model.layers.${layer}.mlp.gate.e_score_correction_bias`]: ['F32', 4],
          },
          [64, 128],
        ),
      }),
      {},
    ),
    'model.layers.1.eh_proj.weight': ['BF16', 160, 320],
    'model.layers.1.enorm.weight': ['BF16', 160],
  },
}

export const variants = { llama3Rope, mistralLinear, deepseekV2Lite, deepseekV3Mtp }

type Sizes = Readonly<Record<'hidden' | 'feedForward' | 'queries' | 'keys', number>>

function llamaTensors(dtype: 'BF16' | 'F16', { hidden, feedForward: length, queries, keys }: Sizes): Tensors {
  const layer = 'model.layers.0'
  return {
    'model.embed_tokens.weight': [dtype, vocabulary, hidden],
    'model.norm.weight': [dtype, hidden],
    [`${layer}.input_layernorm.weight`]: [dtype, hidden],
    [`${layer}.post_attention_layernorm.weight`]: [dtype, hidden],
    [`${layer}.self_attn.q_proj.weight`]: [dtype, queries, hidden],
    [`${layer}.self_attn.k_proj.weight`]: [dtype, keys, hidden],
    [`${layer}.self_attn.v_proj.weight`]: [dtype, keys, hidden],
    [`${layer}.self_attn.o_proj.weight`]: [dtype, hidden, queries],
    ...feedForward(`${layer}.mlp`, dtype, hidden, length),
  }
}

function feedForward(from: string, dtype: 'BF16' | 'F16', hidden: number, length: number): Tensors {
  return {
    [`${from}.gate_proj.weight`]: [dtype, length, hidden],
    [`${from}.up_proj.weight`]: [dtype, length, hidden],
    [`${from}.down_proj.weight`]: [dtype, hidden, length],
  }
}

interface LatentSizes {
  readonly hidden: number
  readonly heads: number
  readonly queryLatent: number | null
  readonly latent: number
  readonly nope: number
  readonly rope: number
  readonly value: number
}

function deepseekLayer(index: number, { hidden, heads, queryLatent, latent, nope, rope, value }: LatentSizes): Tensors {
  const layer = `model.layers.${index}`
  const attention = `${layer}.self_attn`
  const queries = heads * (nope + rope)
  return {
    [`${layer}.input_layernorm.weight`]: ['BF16', hidden],
    [`${layer}.post_attention_layernorm.weight`]: ['BF16', hidden],
    ...(queryLatent === null
      ? { [`${attention}.q_proj.weight`]: ['BF16', queries, hidden] as const }
      : {
          [`${attention}.q_a_proj.weight`]: ['BF16', queryLatent, hidden] as const,
          [`${attention}.q_a_layernorm.weight`]: ['BF16', queryLatent] as const,
          [`${attention}.q_b_proj.weight`]: ['BF16', queries, queryLatent] as const,
        }),
    [`${attention}.kv_a_proj_with_mqa.weight`]: ['BF16', latent + rope, hidden],
    [`${attention}.kv_a_layernorm.weight`]: ['BF16', latent],
    [`${attention}.kv_b_proj.weight`]: ['BF16', heads * (nope + value), latent],
    [`${attention}.o_proj.weight`]: ['BF16', hidden, heads * value],
  }
}

function experts(layer: number, count: number, hidden: number, length: number, shared: number): Tensors {
  const from = `model.layers.${layer}.mlp`
  const names = Array.from({ length: count }, (_, index) => `${from}.experts.${index}`)
  return {
    [`${from}.gate.weight`]: ['BF16', count, hidden],
    ...names.reduce<Tensors>((all, name) => ({ ...all, ...feedForward(name, 'BF16', hidden, length) }), {}),
    ...feedForward(`${from}.shared_experts`, 'BF16', hidden, shared * length),
  }
}

/** Projections in FP8 with a multiplier for each block beside them, the rest as it is. */
function inFp8(tensors: Tensors, [rows, columns]: readonly [number, number]): Tensors {
  return Object.fromEntries(
    Object.entries(tensors).flatMap(([name, entry]): [string, Tensors[string]][] => {
      const [, height, width] = entry
      if (!name.endsWith('_proj.weight') && !name.includes('kv_a_proj')) return [[name, entry]]
      if (height === undefined || width === undefined) return [[name, entry]]
      return [
        [name, ['F8_E4M3', height, width]],
        [`${name}_scale_inv`, ['F32', Math.ceil(height / rows), Math.ceil(width / columns)]],
      ]
    }),
  )
}
