import { slice } from '../../../recipe/index.js'
import { groupedAttention } from '../attention.js'
import { baseKeys, countKey, type Dimensions, names } from '../base.js'
import { count, countOrNone, type Fields, flag, type ModelConfig, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { splitAttention } from '../fused-attention.js'
import { bool, uint32 } from '../metadata.js'
import { split, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'

/** Source: Ernie4_5Config and Ernie4_5_MoeConfig of transformers. */
const defaults = { max_position_embeddings: 131_072, rms_norm_eps: 1e-5, rope_theta: 500_000, tie_word_embeddings: true }

const quirks: Family['quirks'] = {
  rename: (name) => name.replace(/^ernie\./, 'model.').replace('.gate.moe_statics.', '.moe_statics.'),
  adjustTokenizer,
}

/** ERNIE 4.5: as Llama, queries and keys in the checkpoint's order; older checkpoints have fused matrices. */
export const ernie: Family = {
  architecture: 'ernie4_5',
  classes: ['Ernie4_5ForCausalLM', 'Ernie4_5_ForCausalLM'],
  fields: { defaults },
  keys: baseKeys,
  tensors: (config) =>
    decoderTensors(config, {
      attention: (dimensions, layer) =>
        config.hasTensor(`model.layers.${layer}.self_attn.qkv_proj.weight`)
          ? splitAttention(dimensions, { input: 'self_attn.qkv_proj', output: 'self_attn.o_proj' })
          : groupedAttention(dimensions, { bias: false }),
      feedForward: (dimensions, layer) => denseTensors(config, dimensions, layer),
    }),
  footprint: { attention: 'grouped' },
  quirks,
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
}

/** The text model of PaddleOCR-VL: ERNIE 4.5 with positions along three axes. */
export const paddleOcr: Family = {
  architecture: 'paddleocr',
  classes: ['PaddleOCRVLForConditionalGeneration'],
  fields: { defaults, ignored: ['rope_is_neox_style'], ropeKinds: ['mrope'] },
  keys: baseKeys,
  tensors: ernie.tensors,
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks,
}

/** ERNIE 4.5 with routed experts, some for every token. */
export const ernieMoe: Family = {
  architecture: 'ernie4_5-moe',
  classes: ['Ernie4_5_MoeForCausalLM'],
  fields: {
    defaults: { ...defaults, moe_k: 6, moe_layer_interval: 1, moe_layer_start_index: 1, moe_num_shared_experts: 2 },
    supported: {
      moe_gate: ['topk'],
      // llama.cpp divides the chosen experts' weights by their sum, or by this where the sum is smaller.
      moe_norm_min: (value) => typeof value === 'number' && value <= 2 ** -14,
      moe_layer_end_index: (value, { fields }) => value === -1 || value === Number(fields['num_hidden_layers']) - 1,
    },
    ignored: ['moe_capacity', 'moe_use_aux_free', 'num_nextn_predict_layers', 'use_rmsnorm'],
  },
  keys: (config) => [
    ...baseKeys(config),
    ...countKey(config, 'expert_count', 'moe_num_experts'),
    ...countKey(config, 'expert_used_count', 'moe_k'),
    ...countKey(config, 'interleave_moe_layer_step', 'moe_layer_interval'),
    ...countKey(config, 'leading_dense_block_count', 'moe_layer_start_index'),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...countKey(config, 'expert_shared_count', 'moe_num_shared_experts'),
    ...sharedLength(config),
  ],
  tensors: (config) => {
    const layers = config.get(count, ...names.layers)
    const first = config.get(countOrNone, 'moe_layer_start_index')
    const step = config.get(count, 'moe_layer_interval')
    const experts = boundedExperts(config, Math.ceil((layers - first) / step), 'moe_num_experts')
    return decoderTensors(config, {
      attention: { bias: false },
      feedForward: (dimensions, layer) =>
        layer < first || (layer + 1) % step !== 0
          ? denseTensors(config, dimensions, layer)
          : expertTensors(config, dimensions, experts),
    })
  },
  footprint: { attention: 'grouped', normalizedExperts: true },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: {
    ...quirks,
    leaveOut: (name) =>
      name.startsWith('model.mtp_')
        ? 'of multi-token prediction (MTP) layers, which llama.cpp does not support for this architecture'
        : undefined,
  },
}

/** Width of the experts for every token together. Upstream's converter divides intermediate_size by the heads of keys, which comes to the same. */
function sharedLength(config: ModelConfig): Entry[] {
  const shared = config.find(countOrNone, 'moe_num_shared_experts') ?? 0
  return shared === 0 ? [] : [['expert_shared_feed_forward_length', uint32(shared * config.get(size, 'moe_intermediate_size'))]]
}

function expertTensors(config: ModelConfig, { hidden }: Dimensions, experts: number): TensorMapping[] {
  const width = config.get(size, 'moe_intermediate_size')
  const shared = config.find(countOrNone, 'moe_num_shared_experts') ?? 0
  return [
    tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    tensor('mlp.moe_statics.e_score_correction_bias', 'exp_probs_b.bias', [1, experts], {
      optional: config.find(flag, 'moe_use_aux_free') !== true,
    }),
    ...routedExperts('mlp.experts', experts, hidden, width, { order: ['gate', 'up', 'down'] }),
    ...(shared > 0 ? gatedFeedForward('mlp.shared_experts', hidden, shared * width, { bias: false, suffix: '_shexp' }) : []),
  ]
}

function denseTensors(config: ModelConfig, { hidden, feedForward }: Dimensions, layer: number): TensorMapping[] {
  if (!config.hasTensor(`model.layers.${layer}.mlp.up_gate_proj.weight`)) {
    return gatedFeedForward('mlp', hidden, feedForward, { bias: false })
  }
  return [
    split('mlp.up_gate_proj.weight', [2 * feedForward, hidden], (both) => [
      { name: 'ffn_gate.weight', recipe: slice(both, 0, 0, feedForward) },
      { name: 'ffn_up.weight', recipe: slice(both, 0, feedForward, 2 * feedForward) },
    ]),
    tensor('mlp.down_proj.weight', 'ffn_down.weight', [hidden, feedForward]),
  ]
}

function adjustTokenizer(entries: readonly Entry[], tokenizerConfig: Fields | undefined): readonly Entry[] {
  const prefix = tokenizerConfig?.['add_prefix_space']
  if (typeof prefix !== 'boolean') return entries
  return [...new Map([...entries, ['tokenizer.ggml.add_space_prefix', bool(prefix)] as const])]
}
