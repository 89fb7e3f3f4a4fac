import { baseKeys, countKey, floatKey, names, present } from './base.js'
import { count, countOrNone, type Fields, flag, type ModelConfig, size, word } from './config.js'
import { embeddingAndOutputTensors } from './embedding-and-output.js'
import { boundedExperts, gatedFeedForward, leadingDense, routedExperts, sparseAfterDense } from './feed-forward.js'
import { latentAttention, latentDimensions } from './latent-attention.js'
import { bool, float32, uint32 } from './metadata.js'
import { countedPredictions, predictionLayers, predictionTensors } from './mtp.js'
import { blocks, layerNorm, linear, norm, type TensorMapping, tensor } from './tensor-mappings.js'
import type { Entry, FieldTable } from './types.js'

// Decoders with latent attention and many small experts: DeepSeek 2 and 3 and those built like them.

/** Source: the Config classes of transformers. */
export const latentFields: FieldTable = {
  defaults: { rms_norm_eps: 1e-6, rope_theta: 10_000, tie_word_embeddings: false },
  derived: (fields: Fields): Fields => {
    const { n_routed_experts: experts, num_hidden_layers: layers, intermediate_size: width } = fields
    return {
      first_k_dense_replace: experts === undefined || experts === null ? layers : 0,
      ...leadingDense(fields),
      moe_intermediate_size: experts === undefined || experts === null ? width : undefined,
      n_shared_experts: 0,
    }
  },
  supported: {
    // llama.cpp turns neighbours, in the order of the checkpoint.
    rope_interleave: [true],
    indexer_rope_interleave: [true],
    mlp_layer_types: sparseAfterDense((kind) => kind === 'sparse'),
    moe_layer_freq: [1],
    topk_method: chosenGroups,
    mscale: (value, { rope }) => value === rope.mscale_all_dim,
  },
  ignored: ['head_dim', 'qk_head_dim'],
}

/** How groups of experts are chosen: llama.cpp takes the sum of a group's two best scores, as `noaux_tc` does. */
function chosenGroups(value: unknown, { fields }: ModelConfig): boolean | string {
  if (value === 'noaux_tc' || Number(fields['n_group'] ?? 1) <= 1) return true
  return (
    value === 'group_limited_greedy' &&
    'llama.cpp chooses groups of experts by the sum of their two best scores, and the model by the best one (topk_method group_limited_greedy): some tokens go to other experts.'
  )
}

/** Blocks of the output: with those that predict further tokens, which stand behind the others. */
export function latentLayers(config: ModelConfig): number {
  return config.get(count, ...names.layers) + predictionLayers(config, countedPredictions(config))
}

/** @param layers of the output. */
export function latentKeys(config: ModelConfig, layers = config.get(count, ...names.layers)): Entry[] {
  const { latent, plain, rotated, valueLength } = latentDimensions(config)
  // transformers fills in head_dim for some: the place of the key that it becomes.
  const length = config.fields['head_dim'] === undefined ? {} : { head_dim: rotated }
  return [
    // With the key and value projections absorbed, all heads share one latent vector.
    ...baseKeys(config.with({ num_key_value_heads: 1, num_hidden_layers: layers, ...length })),
    ...countKey(config, 'leading_dense_block_count', 'first_k_dense_replace'),
    ...countKey(config, 'vocab_size', 'vocab_size'),
    ...countKey(config, 'attention.q_lora_rank', 'q_lora_rank'),
    ['attention.kv_lora_rank', uint32(latent)],
    ['attention.key_length', uint32(latent + rotated)],
    ['attention.value_length', uint32(latent)],
    ['attention.key_length_mla', uint32(plain + rotated)],
    ['attention.value_length_mla', uint32(valueLength)],
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...countKey(config, 'expert_shared_count', 'n_shared_experts'),
    ...floatKey(config, 'expert_weights_scale', 'routed_scaling_factor'),
    ...(config.find(flag, 'norm_topk_prob') === true ? [['expert_weights_norm', bool(true)] as const] : []),
    ['rope.dimension_count', uint32(rotated)],
    // A tenth of the multiplier, for llama.cpp's reader multiplies it by ten again: llama.cpp pull request 17945.
    ...present('rope.scaling.yarn_log_multiplier', latentMultiplier(config), (all) => float32(0.1 * all)),
  ]
}

/**
 * What YaRN multiplies attention by. llama.cpp takes the factor for queries and keys into account whatever the file says.
 * @throws MqError CONFIG_INVALID where config.json has none, or a factor of another kind.
 */
function latentMultiplier(config: ModelConfig): number | null | undefined {
  const { kind, mscale_all_dim: all, attention_factor: factor, attn_factor: other } = config.rope
  if (kind === 'yarn' && !all) {
    throw config.unsupported(
      'rope_scaling of type yarn has no mscale_all_dim, and llama.cpp scales attention of this architecture in any case',
    )
  }
  if (kind === 'yarn' && (factor ?? other ?? undefined) !== undefined) {
    throw config.unsupported('rope_scaling has an attention_factor, which llama.cpp applies in another way in this architecture')
  }
  return all
}

/** The sparse attention of DeepSeek 3.2: an indexer chooses what a token attends to. */
export function indexerKeys(config: ModelConfig): Entry[] {
  return [
    ...countKey(config, 'attention.indexer.head_count', 'index_n_heads'),
    ...countKey(config, 'attention.indexer.key_length', 'index_head_dim'),
    ...countKey(config, 'attention.indexer.top_k', 'index_topk'),
  ]
}

interface LatentOptions {
  /** Blocks of the output; by default those of the model, without what predicts further tokens. */
  readonly layers?: number
  readonly indexer?: boolean
  /** Whether gate and up-projection of the experts stay one tensor, as the checkpoint has them. */
  readonly fusedExperts?: boolean
}

export function latentTensors(config: ModelConfig, options: LatentOptions = {}): TensorMapping[] {
  const dimensions = latentDimensions(config)
  const { hidden } = dimensions
  const own = config.get(count, ...names.layers)
  const { layers = own, indexer = false, fusedExperts = false } = options
  const vocabulary = config.get(size, 'vocab_size')
  const width = config.get(size, ...names.feedForward)
  const dense = config.get(countOrNone, 'first_k_dense_replace')
  const experts = boundedExperts(config, layers - dense)
  return [
    ...embeddingAndOutputTensors(config, { hidden, vocabulary }),
    ...blocks('model.layers', layers, (layer) => [
      norm('input_layernorm', 'attn_norm', hidden),
      norm('post_attention_layernorm', 'ffn_norm', hidden),
      ...latentAttention(dimensions),
      ...(indexer && config.hasTensor(`model.layers.${layer}.self_attn.indexer.wk.weight`) ? indexerTensors(config, hidden) : []),
      ...(experts > 0 && layer >= dense
        ? expertTensors(config, experts, hidden, fusedExperts)
        : gatedFeedForward('mlp', hidden, width, { bias: false })),
      ...(layer < own ? [] : predictionTensors(hidden, vocabulary)),
    ]),
  ]
}

function indexerTensors(config: ModelConfig, hidden: number): TensorMapping[] {
  const heads = config.get(count, 'index_n_heads')
  const length = config.get(size, 'index_head_dim')
  const from = 'self_attn.indexer'
  return [
    ...layerNorm(`${from}.k_norm`, 'indexer.k_norm', length),
    ...linear(`${from}.weights_proj`, 'indexer.proj', [heads, hidden], { bias: false }),
    ...linear(`${from}.wk`, 'indexer.attn_k', [length, hidden], { bias: false }),
    ...linear(`${from}.wq_b`, 'indexer.attn_q_b', [heads * length, config.get(size, 'q_lora_rank')], { bias: false }),
  ]
}

function expertTensors(config: ModelConfig, experts: number, hidden: number, fused: boolean): TensorMapping[] {
  const width = config.get(size, 'moe_intermediate_size')
  const shared = config.find(countOrNone, 'n_shared_experts') ?? 0
  const biased = config.find(word, 'topk_method') === 'noaux_tc'
  return [
    tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    tensor('mlp.gate.e_score_correction_bias', 'exp_probs_b.bias', [experts], { optional: !biased }),
    ...(fused
      ? [
          tensor('mlp.experts.gate_up_proj', 'ffn_gate_up_exps.weight', [experts, 2 * width, hidden]),
          tensor('mlp.experts.down_proj', 'ffn_down_exps.weight', [experts, hidden, width]),
        ]
      : routedExperts('mlp.experts', experts, hidden, width)),
    ...(shared > 0 ? gatedFeedForward('mlp.shared_experts', hidden, shared * width, { bias: false, suffix: '_shexp' }) : []),
  ]
}
