import * as v from 'valibot'
import { type Recipe, reshape, slice, transpose } from '../../recipe/index.js'
import type { Checkpoint } from '../checkpoint/index.js'
import { baseKeys } from './base.js'
import { configError, count, countOrNone, finite, parseConfig, positive, size } from './config.js'
import { bool, float32, uint32 } from './metadata.js'
import { readRope, ropeFields, ropeKeys } from './rope.js'
import { isComputedBuffer, silently, type TensorTable, tensorTable } from './tensor-table.js'
import type { Family, Model } from './types.js'

const schema = v.object({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  moe_intermediate_size: v.nullish(size),
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: v.nullish(count),
  q_lora_rank: v.nullish(size),
  kv_lora_rank: size,
  qk_nope_head_dim: size,
  qk_rope_head_dim: size,
  v_head_dim: size,
  rms_norm_eps: v.nullish(positive),
  first_k_dense_replace: v.nullish(countOrNone),
  moe_layer_freq: v.nullish(v.literal(1)),
  n_routed_experts: v.nullish(count),
  n_shared_experts: v.nullish(countOrNone),
  num_experts_per_tok: v.nullish(count),
  n_group: v.nullish(count),
  topk_group: v.nullish(count),
  scoring_func: v.nullish(v.picklist(['softmax', 'sigmoid'])),
  topk_method: v.nullish(v.string()),
  norm_topk_prob: v.nullish(v.boolean()),
  routed_scaling_factor: v.nullish(finite),
  // llama.cpp has no place for these biases.
  attention_bias: v.nullish(v.literal(false)),
  tie_word_embeddings: v.nullish(v.boolean()),
  ...ropeFields,
})

type Config = v.InferOutput<typeof schema>

/** DeepSeek V2 and V3 (R1): latent attention, many small experts. */
export const deepseek2: Family = {
  classes: ['DeepseekV2ForCausalLM', 'DeepseekV3ForCausalLM'],
  describe: describeDeepseek,
}

/** ggml's numbers of what turns router scores into weights (enum llama_expert_gating_func_type). */
const gatingFunctions = { softmax: 1, sigmoid: 2 } as const

function describeDeepseek(checkpoint: Checkpoint, className: string): Model {
  const config = parseConfig(schema, checkpoint)
  const { num_hidden_layers: layers, num_attention_heads: heads, kv_lora_rank: latent, qk_rope_head_dim: rotated } = config
  const experts = config.n_routed_experts ?? 0
  if (experts > 0 && config.moe_intermediate_size === undefined) throw configError(checkpoint, 'moe_intermediate_size is missing')
  const denseLayers = config.first_k_dense_replace ?? (experts > 0 ? 0 : layers)
  // What follows makes an entry for each expert of each layer: not for experts that cannot be there.
  if (Math.max(0, layers - denseLayers) * experts > checkpoint.names.length) {
    throw configError(checkpoint, `n_routed_experts is ${experts}, more than the checkpoint has tensors for`)
  }
  const notes: string[] = []
  const rope = readRope(config)
  return {
    architecture: 'deepseek2',
    layers,
    experts,
    vocabularySize: config.vocab_size,
    keys: [
      ...baseKeys({
        layers,
        contextLength: config.max_position_embeddings ?? (className === 'DeepseekV3ForCausalLM' ? 4096 : 2048),
        hiddenSize: config.hidden_size,
        feedForwardLength: config.intermediate_size,
        heads,
        // With the key and value projections absorbed, all heads share one latent vector.
        keyValueHeads: 1,
        rope: ropeKeys(rope, checkpoint, notes),
        rmsNormEpsilon: float32(config.rms_norm_eps ?? 1e-6),
        experts: expertKeys(config, className),
        keyLength: latent + rotated,
        valueLength: latent,
      }),
      ['leading_dense_block_count', uint32(denseLayers)],
      ['vocab_size', uint32(config.vocab_size)],
      ...present('attention.q_lora_rank', config.q_lora_rank, uint32),
      ['attention.kv_lora_rank', uint32(latent)],
      ['attention.key_length_mla', uint32(config.qk_nope_head_dim + rotated)],
      ['attention.value_length_mla', uint32(config.v_head_dim)],
      ['expert_feed_forward_length', uint32(config.moe_intermediate_size ?? config.intermediate_size)],
      ['expert_shared_count', uint32(config.n_shared_experts ?? 0)],
      ...present('expert_weights_scale', config.routed_scaling_factor, float32),
      ...(config.norm_topk_prob === true ? [['expert_weights_norm', bool(true)] as const] : []),
      ['rope.dimension_count', uint32(rotated)],
      // A tenth of the multiplier, for llama.cpp's reader multiplies it by ten again: llama.cpp pull request 17945.
      ...present('rope.scaling.yarn_log_multiplier', rope.mscale_all_dim, (all) => float32(0.1 * all)),
    ],
    expected: deepseekTensors(config, experts, denseLayers),
    computed: [],
    leaveOut: (name) => leaveOut(name, config),
    notes,
  }
}

function expertKeys(config: Config, className: string): [string, ReturnType<typeof uint32>][] {
  // Not all tools that save a V3 model keep the function's name, and its absence would mean softmax to llama.cpp.
  const gating = config.scoring_func ?? (className === 'DeepseekV3ForCausalLM' ? 'sigmoid' : undefined)
  return [
    ...present('expert_count', config.n_routed_experts, uint32),
    ...present('expert_used_count', config.num_experts_per_tok, uint32),
    ...present('expert_group_count', config.n_group, uint32),
    ...present('expert_group_used_count', config.topk_group, uint32),
    ...present('expert_gating_func', gating, (name) => uint32(gatingFunctions[name])),
  ]
}

function present<T, Value>(key: string, value: T | null | undefined, make: (value: T) => Value): [string, Value][] {
  return value === undefined || value === null ? [] : [[key, make(value)]]
}

function leaveOut(name: string, config: Config): string | undefined {
  if (isComputedBuffer(name)) return silently
  const layer = /^model\.layers\.(\d+)\./.exec(name)?.[1]
  if (layer !== undefined && Number(layer) >= config.num_hidden_layers) {
    return `of the multi-token prediction layer ${layer}, which llama.cpp does not run`
  }
  if (name === 'lm_head.weight' && config.tie_word_embeddings === true) return silently
  return undefined
}

function deepseekTensors(config: Config, experts: number, denseLayers: number): Model['expected'] {
  const { vocab_size: vocabulary, hidden_size: hidden } = config
  const table = tensorTable()
  table.add('model.embed_tokens.weight', 'token_embd.weight', [vocabulary, hidden])
  table.add('model.norm.weight', 'output_norm.weight', [hidden])
  table.add('lm_head.weight', 'output.weight', [vocabulary, hidden], { optional: config.tie_word_embeddings === true })
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const from = `model.layers.${layer}`
    const to = `blk.${layer}`
    table.add(`${from}.input_layernorm.weight`, `${to}.attn_norm.weight`, [hidden])
    table.add(`${from}.post_attention_layernorm.weight`, `${to}.ffn_norm.weight`, [hidden])
    addAttention(table, config, `${from}.self_attn`, to)
    if (experts > 0 && layer >= denseLayers) addExperts(table, config, experts, `${from}.mlp`, to)
    else addFeedForward(table, `${from}.mlp`, to, '', hidden, config.intermediate_size)
  }
  return table.expected
}

function addAttention(table: TensorTable, config: Config, from: string, to: string): void {
  const { hidden_size: hidden, num_attention_heads: heads, kv_lora_rank: latent, qk_nope_head_dim: plain } = config
  const { q_lora_rank: queryLatent, qk_rope_head_dim: rotated, v_head_dim: valueLength } = config
  const queries = heads * (plain + rotated)
  if (queryLatent === undefined || queryLatent === null) {
    table.add(`${from}.q_proj.weight`, `${to}.attn_q.weight`, [queries, hidden])
  } else {
    table.add(`${from}.q_a_proj.weight`, `${to}.attn_q_a.weight`, [queryLatent, hidden])
    table.add(`${from}.q_a_layernorm.weight`, `${to}.attn_q_a_norm.weight`, [queryLatent])
    table.add(`${from}.q_b_proj.weight`, `${to}.attn_q_b.weight`, [queries, queryLatent])
  }
  table.add(`${from}.kv_a_proj_with_mqa.weight`, `${to}.attn_kv_a_mqa.weight`, [latent + rotated, hidden])
  table.add(`${from}.kv_a_layernorm.weight`, `${to}.attn_kv_a_norm.weight`, [latent])
  table.add(`${from}.o_proj.weight`, `${to}.attn_output.weight`, [hidden, heads * valueLength])

  // Each head's rows hold its key projection, then its value projection. The first is transposed: llama.cpp applies it to the query.
  const keyValueHeads = config.num_key_value_heads ?? heads
  const headRows = plain + valueLength
  table.addSplit(`${from}.kv_b_proj.weight`, [keyValueHeads * headRows, latent], (both: Recipe) => {
    const byHead = reshape(both, [keyValueHeads, headRows, latent])
    return [
      { name: `${to}.attn_k_b.weight`, recipe: transpose(slice(byHead, 1, 0, plain)) },
      { name: `${to}.attn_v_b.weight`, recipe: slice(byHead, 1, plain, headRows) },
    ]
  })
}

function addExperts(table: TensorTable, config: Config, experts: number, from: string, to: string): void {
  const { hidden_size: hidden } = config
  const length = config.moe_intermediate_size ?? config.intermediate_size
  table.add(`${from}.gate.weight`, `${to}.ffn_gate_inp.weight`, [experts, hidden])
  table.add(`${from}.gate.e_score_correction_bias`, `${to}.exp_probs_b.bias`, [experts], {
    optional: config.topk_method !== 'noaux_tc',
  })
  const expert =
    (projection: string) =>
    (index: number): string =>
      `${from}.experts.${index}.${projection}.weight`
  table.addExperts(experts, [
    { from: expert('down_proj'), to: `${to}.ffn_down_exps.weight`, shape: [hidden, length] },
    { from: expert('gate_proj'), to: `${to}.ffn_gate_exps.weight`, shape: [length, hidden] },
    { from: expert('up_proj'), to: `${to}.ffn_up_exps.weight`, shape: [length, hidden] },
  ])
  const shared = config.n_shared_experts ?? 0
  if (shared > 0) addFeedForward(table, `${from}.shared_experts`, to, '_shexp', hidden, shared * length)
}

function addFeedForward(table: TensorTable, from: string, to: string, suffix: string, hidden: number, length: number): void {
  table.add(`${from}.gate_proj.weight`, `${to}.ffn_gate${suffix}.weight`, [length, hidden])
  table.add(`${from}.up_proj.weight`, `${to}.ffn_up${suffix}.weight`, [length, hidden])
  table.add(`${from}.down_proj.weight`, `${to}.ffn_down${suffix}.weight`, [hidden, length])
}
