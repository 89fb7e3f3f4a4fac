import { baseKeys, countKey, type Dimensions, flagKey, floatKey, names } from '../base.js'
import { count, countOrNone, finite, listOf, type ModelConfig, size } from '../config.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { uint32 } from '../metadata.js'
import { blocks, linear, norm, silently, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'

/** The ratio at which keys and values are compressed over two windows, and chosen by an indexer. */
const sparseRatio = 4

/**
 * DeepSeek V4: one key-value head, compressed by layer, an indexer, output projections by groups, several residual streams
 * (hyper-connections), and experts of FP4 that the first layers choose by token. Source: DeepseekV4Model of conversion/deepseek.py, llama.cpp
 * v0.7.0.
 */
export const deepseek4: Family = {
  architecture: 'deepseek4',
  classes: ['DeepseekV4ForCausalLM'],
  fields: {
    // Source: DeepseekV4Config of transformers 5.12.
    defaults: {
      compress_rope_theta: 160_000,
      hc_eps: 1e-6,
      hc_mult: 4,
      hc_sinkhorn_iters: 20,
      head_dim: 512,
      index_head_dim: 128,
      index_n_heads: 64,
      index_topk: 512,
      max_position_embeddings: 1_048_576,
      n_shared_experts: 1,
      norm_topk_prob: true,
      num_experts_per_tok: 6,
      num_key_value_heads: 1,
      o_groups: 8,
      o_lora_rank: 1024,
      q_lora_rank: 1024,
      rms_norm_eps: 1e-6,
      rope_theta: 10_000,
      routed_scaling_factor: 1.5,
      scoring_func: 'sqrtsoftplus',
      sliding_window: 128,
      swiglu_limit: 10,
      tie_word_embeddings: false,
    },
    supported: { tie_word_embeddings: [false], num_nextn_predict_layers: () => true, num_key_value_heads: [1] },
    ignored: ['topk_method', 'expert_dtype', 'dim', 'inter_dim', 'n_group', 'topk_group'],
  },
  keys: (config) => {
    const layers = config.get(count, ...names.layers)
    const limit = config.get(finite, 'swiglu_limit')
    const limits = { type: 'array', elementType: 'float32', value: Array.from({ length: layers }, () => limit) } as const
    return [
      ...baseKeys(config),
      ...countKey(config, 'rope.dimension_count', 'qk_rope_head_dim'),
      ...countKey(config, 'attention.q_lora_rank', 'q_lora_rank'),
      ...countKey(config, 'attention.sliding_window', 'sliding_window'),
      ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
      ...countKey(config, 'expert_shared_count', 'n_shared_experts'),
      ...floatKey(config, 'expert_weights_scale', 'routed_scaling_factor'),
      ...flagKey(config, 'expert_weights_norm', 'norm_topk_prob'),
      ['swiglu_clamp_exp', limits],
      ['swiglu_clamp_shexp', limits],
      ...countKey(config, 'attention.indexer.head_count', 'index_n_heads'),
      ...countKey(config, 'attention.indexer.key_length', 'index_head_dim'),
      ...countKey(config, 'attention.indexer.top_k', 'index_topk'),
      ...countKey(config, 'attention.output_group_count', 'o_groups'),
      ...countKey(config, 'attention.output_lora_rank', 'o_lora_rank'),
      ratiosKey(config),
      ...floatKey(config, 'attention.compress_rope_freq_base', 'compress_rope_theta'),
      ...countKey(config, 'hyper_connection.count', 'hc_mult'),
      ...countKey(config, 'hyper_connection.sinkhorn_iterations', 'hc_sinkhorn_iters'),
      ...floatKey(config, 'hyper_connection.epsilon', 'hc_eps'),
      ...countKey(config, 'hash_layer_count', 'num_hash_layers'),
      ['embedding_length_out', uint32(config.get(size, ...names.hidden) * config.get(count, 'hc_mult'))],
    ]
  },
  tensors: (config) => {
    const hidden = config.get(size, ...names.hidden)
    const vocabulary = config.get(size, 'vocab_size')
    const layers = config.get(count, ...names.layers)
    const streams = config.get(count, 'hc_mult')
    const experts = boundedExperts(config, layers)
    return [
      tensor('embed.weight', 'token_embd.weight', [vocabulary, hidden]),
      norm('norm', 'output_norm', hidden),
      tensor('head.weight', 'output.weight', [vocabulary, hidden]),
      ...connection('hc_head', 'output_hc', streams, { rows: streams, scales: 1, hidden }),
      ...blocks('layers', layers, (layer) => [
        norm('attn_norm', 'attn_norm', hidden),
        norm('ffn_norm', 'ffn_norm', hidden),
        ...['attn', 'ffn'].flatMap((part) =>
          connection(`hc_${part}`, `hc_${part}`, streams, { rows: streams * (streams + 2), scales: 3, hidden }),
        ),
        ...attention(config, hidden),
        ...compression(config, hidden, ratiosOf(config)[layer] ?? 0),
        ...expertTensors(config, { experts, hidden, vocabulary, hashed: layer < config.get(countOrNone, 'num_hash_layers') }),
      ]),
    ]
  },
  roles: {
    attn_kv: 'attention-kv-a',
    attn_compressor_kv: 'attention-kv-a',
    attn_compressor_gate: 'attention-kv-a',
    attn_output_a: 'attention-output',
    attn_output_b: 'attention-output',
  },
  quirks: {
    float32: /(hc_\w+_fn|output_hc_fn|_ape)\.weight$/,
    leaveOut: (name, config) => {
      if (name.startsWith('mtp.')) return 'of layers for multi-token prediction, which llama.cpp takes as a separate file'
      if (/^(aligner|vision|image_)/.test(name)) return 'of the vision encoder: the GGUF file holds the text model only'
      const layer = /^layers\.(\d+)\.ffn\.gate\.bias$/.exec(name)?.[1]
      // Layers that choose experts by token have no use for it.
      return layer !== undefined && Number(layer) < config.get(countOrNone, 'num_hash_layers') ? silently : undefined
    },
  },
}

function ratiosOf(config: ModelConfig): readonly number[] {
  return config.get(listOf(countOrNone), 'compress_ratios')
}

function ratiosKey(config: ModelConfig): Entry {
  return ['attention.compress_ratios', { type: 'array', elementType: 'int32', value: [...ratiosOf(config)] }]
}

/** How several residual streams become one and the other way round. */
function connection(
  from: string,
  to: string,
  streams: number,
  { rows, scales, hidden }: { readonly rows: number; readonly scales: number } & Pick<Dimensions, 'hidden'>,
): TensorMapping[] {
  return [
    tensor(`${from}_fn`, `${to}_fn.weight`, [rows, streams * hidden]),
    tensor(`${from}_base`, `${to}_base.weight`, [rows]),
    tensor(`${from}_scale`, `${to}_scale.weight`, [scales]),
  ]
}

function attention(config: ModelConfig, hidden: number): TensorMapping[] {
  const heads = config.get(count, ...names.heads)
  const length = config.get(count, 'head_dim')
  const rank = config.get(size, 'q_lora_rank')
  const groups = config.get(count, 'o_groups')
  const grouped = groups * config.get(size, 'o_lora_rank')
  const plain = { bias: false } as const
  return [
    tensor('attn.attn_sink', 'attn_sinks.weight', [heads]),
    ...linear('attn.wq_a', 'attn_q_a', [rank, hidden], plain),
    norm('attn.q_norm', 'attn_q_a_norm', rank),
    ...linear('attn.wq_b', 'attn_q_b', [heads * length, rank], plain),
    ...linear('attn.wkv', 'attn_kv', [length, hidden], plain),
    norm('attn.kv_norm', 'attn_kv_a_norm', length),
    ...linear('attn.wo_a', 'attn_output_a', [grouped, (heads * length) / groups], plain),
    ...linear('attn.wo_b', 'attn_output_b', [hidden, grouped], plain),
  ]
}

/** What makes one key and value of several tokens; and, where it does so over two windows, the indexer that chooses among them. */
function compression(config: ModelConfig, hidden: number, ratio: number): TensorMapping[] {
  if (ratio === 0) return []
  const windows = ratio === sparseRatio ? 2 : 1
  const compressor = (from: string, to: string, length: number): TensorMapping[] => [
    tensor(`${from}.ape`, `${to}_ape.weight`, [ratio, windows * length]),
    ...linear(`${from}.wkv`, `${to}_kv`, [windows * length, hidden], { bias: false }),
    ...linear(`${from}.wgate`, `${to}_gate`, [windows * length, hidden], { bias: false }),
    norm(`${from}.norm`, `${to}_norm`, length),
  ]
  const own = compressor('attn.compressor', 'attn_compressor', config.get(count, 'head_dim'))
  if (ratio !== sparseRatio) return own
  const heads = config.get(count, 'index_n_heads')
  const length = config.get(count, 'index_head_dim')
  return [
    ...own,
    ...linear('attn.indexer.wq_b', 'indexer.attn_q_b', [heads * length, config.get(size, 'q_lora_rank')], { bias: false }),
    ...linear('attn.indexer.weights_proj', 'indexer.proj', [heads, hidden], { bias: false }),
    ...compressor('attn.indexer.compressor', 'indexer_compressor', length),
  ]
}

interface ExpertDimensions extends Pick<Dimensions, 'hidden' | 'vocabulary'> {
  readonly experts: number
  /** Whether a table names the experts of each token. */
  readonly hashed: boolean
}

function expertTensors(config: ModelConfig, { experts, hidden, vocabulary, hashed }: ExpertDimensions): TensorMapping[] {
  const width = config.get(size, 'moe_intermediate_size')
  const shared = width * config.get(count, 'n_shared_experts')
  const parts = ['w1', 'w3', 'w2'] as const
  return [
    tensor('ffn.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    hashed
      ? tensor('ffn.gate.tid2eid', 'ffn_gate_tid2eid.weight', [vocabulary, config.get(count, 'num_experts_per_tok')])
      : tensor('ffn.gate.bias', 'exp_probs_b.bias', [experts]),
    tensor('ffn.gate.bias_vl', 'exp_probs_b_vl.bias', [experts], { optional: true }),
    ...routedExperts('ffn.experts', experts, hidden, width, { names: parts, order: ['gate', 'down', 'up'] }),
    ...gatedFeedForward('ffn.shared_experts', hidden, shared, { bias: false, suffix: '_shexp', names: parts }),
  ]
}
