import { reshape, stack } from '../../../recipe/index.js'
import { fileTypePlace, names } from '../base.js'
import { count, finite, type ModelConfig, size } from '../config.js'
import { float32, uint32 } from '../metadata.js'
import { blocks, joined, layerNorm, linear, split, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'

/**
 * RWKV 7 (Goose: Peng et al. 2025, arXiv:2503.14456) as fla-hub's checkpoints write it: a recurrence with low-rank decay, learning rate, value mix
 * and gate.
 */
export const rwkv7: Family = {
  architecture: 'rwkv7',
  classes: ['RWKV7ForCausalLM', 'Rwkv7ForCausalLM'],
  fields: {
    defaults: { vocab_size: 65_536 },
    supported: {
      hidden_act: ['sqrelu'],
      norm_bias: [true],
      norm_first: [true],
      tie_word_embeddings: [false],
      attn: [],
    },
    ignored: [
      'attn_mode',
      'fuse_cross_entropy',
      'fuse_norm',
      'fuse_linear_cross_entropy',
      'hidden_ratio',
      'max_position_embeddings',
      'num_attention_heads',
      'num_heads',
      'rescale_prenorm_residual',
      'residual_in_fp32',
      'use_l2warp',
      'value_dim',
    ],
  },
  keys: (config) => {
    const { hidden, head, width, ranks } = dimensionsOf(config)
    return [
      ['context_length', uint32(2 ** 20)],
      ['embedding_length', uint32(hidden)],
      ['block_count', uint32(config.get(count, ...names.layers))],
      ['attention.layer_norm_epsilon', float32(config.get(finite, 'layer_norm_epsilon', 'norm_eps'))],
      ['wkv.head_size', uint32(head)],
      ['attention.decay_lora_rank', uint32(ranks.w)],
      ['attention.iclr_lora_rank', uint32(ranks.a)],
      ['attention.value_residual_mix_lora_rank', uint32(ranks.v)],
      ['attention.gate_lora_rank', uint32(ranks.g)],
      ['feed_forward_length', uint32(width)],
      fileTypePlace,
      ['attention.head_count', uint32(0)],
    ] satisfies Entry[]
  },
  tensors: tensorsOf,
  roles: { channel_mix_key: 'ffn-up', channel_mix_value: 'ffn-down' },
  quirks: {
    // The first layer has no earlier values to mix with.
    leaveOut: (name) => (name.startsWith('model.layers.0.attn.v_lora.') ? 'of the first layer that are not used' : undefined),
  },
}

const lowRank = ['w', 'a', 'v', 'g'] as const
type LowRank = (typeof lowRank)[number]

function dimensionsOf(config: ModelConfig): {
  readonly hidden: number
  readonly head: number
  readonly width: number
  readonly ranks: Readonly<Record<LowRank, number>>
} {
  const hidden = config.get(size, 'hidden_size')
  const rank = (exponent: number, factor: number): number => Math.max(1, Math.round((hidden ** exponent * factor) / 32)) * 32
  return {
    hidden,
    head: config.get(count, 'head_size', 'head_dim'),
    width: config.find(size, 'intermediate_size') ?? 4 * hidden,
    ranks: {
      w: config.find(size, 'lora_rank_decay', 'decay_low_rank_dim') ?? rank(0.5, 1.8),
      a: config.find(size, 'lora_rank_iclr', 'a_low_rank_dim') ?? rank(0.5, 1.8),
      v: config.find(size, 'lora_rank_value_residual_mix', 'v_low_rank_dim') ?? rank(0.5, 1.3),
      g: config.find(size, 'lora_rank_gate', 'gate_low_rank_dim') ?? rank(0.8, 0.6),
    },
  }
}

function tensorsOf(config: ModelConfig): TensorMapping[] {
  const { hidden, head, width, ranks } = dimensionsOf(config)
  const vocabulary = config.get(size, 'vocab_size')
  const heads = hidden / head
  return [
    tensor('model.embeddings.weight', 'token_embd.weight', [vocabulary, hidden]),
    ...layerNorm('model.layers.0.pre_norm', 'token_embd_norm', hidden),
    ...blocks('model.layers', config.get(count, ...names.layers), (layer) => [
      ...layerNorm('attn_norm', 'attn_norm', hidden),
      ...layerNorm('ffn_norm', 'attn_norm_2', hidden),
      ...timeShift(hidden),
      tensor('attn.k_k', 'time_mix_k_k.weight', [hidden]),
      tensor('attn.k_a', 'time_mix_k_a.weight', [hidden]),
      tensor('attn.r_k', 'time_mix_r_k.weight', [heads, head], { transform: (input) => reshape(input, [hidden]) }),
      ...linear('attn.r_proj', 'time_mix_receptance', [hidden, hidden], { bias: false }),
      ...linear('attn.k_proj', 'time_mix_key', [hidden, hidden], { bias: false }),
      ...linear('attn.v_proj', 'time_mix_value', [hidden, hidden], { bias: false }),
      ...linear('attn.o_proj', 'time_mix_output', [hidden, hidden], { bias: false }),
      ...layerNorm('attn.g_norm', 'time_mix_ln', hidden),
      ...lowRank.filter((kind) => layer > 0 || kind !== 'v').flatMap((kind) => lowRankTensors(kind, hidden, ranks[kind], layer)),
      tensor('ffn.x_k', 'channel_mix_lerp_k.weight', [hidden]),
      ...linear('ffn.key', 'channel_mix_key', [width, hidden], { bias: false }),
      ...linear('ffn.value', 'channel_mix_value', [hidden, width], { bias: false }),
    ]),
    ...layerNorm('model.norm', 'output_norm', hidden),
    tensor('lm_head.weight', 'output.weight', [vocabulary, hidden]),
  ]
}

/** How much of the token before goes into receptance, decay, key, value, learning rate and gate: one tensor. */
function timeShift(hidden: number): TensorMapping[] {
  const parts = ['r', 'w', 'k', 'v', 'a', 'g'].map((name) => ({ name: `attn.x_${name}`, shape: [1, 1, hidden] }))
  return joined(parts, (inputs) => [{ name: 'time_mix_lerp_fused.weight', recipe: stack(inputs) }])
}

/** Two matrices and, but for the gate, what is added behind them. The first layer's value mix, which nothing reads, is its learning rate. */
function lowRankTensors(kind: LowRank, hidden: number, rank: number, layer: number): TensorMapping[] {
  const from = `attn.${kind}_lora.lora`
  const kinds = layer === 0 && kind === 'a' ? ['v', 'a'] : [kind]
  const mapping = (name: string, part: number, shape: readonly number[]): TensorMapping =>
    split(`${from}.${name}`, shape, (recipe) => kinds.map((to) => ({ name: `time_mix_${to}${part}.weight`, recipe })))
  return [
    mapping('0.weight', 1, [rank, hidden]),
    mapping('2.weight', 2, [hidden, rank]),
    ...(kind === 'g' ? [] : [mapping('2.bias', 0, [hidden])]),
  ]
}
