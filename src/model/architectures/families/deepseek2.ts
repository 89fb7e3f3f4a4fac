import { baseKeys, countKey, floatKey, names, present } from '../base.js'
import { count, countOrNone, type Fields, flag, type ModelConfig, size, word } from '../config.js'
import { endRows } from '../ends.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { latentAttention, latentDimensions } from '../latent-attention.js'
import { bool, float32, uint32 } from '../metadata.js'
import { blocks, norm, type Row, tensor } from '../rows.js'
import type { Family } from '../types.js'

/** DeepSeek V2 and V3 (R1): latent attention, many small experts. */
export const deepseek2: Family = {
  architecture: 'deepseek2',
  classes: ['DeepseekV2ForCausalLM', 'DeepseekV3ForCausalLM', 'KimiK25ForConditionalGeneration', 'YoutuForCausalLM'],
  fields: {
    defaults: { rms_norm_eps: 1e-6, rope_theta: 10_000, tie_word_embeddings: false },
    classDefaults: {
      DeepseekV2ForCausalLM: { max_position_embeddings: 2048 },
      // Not all tools that save a V3 model keep the function's name, and its absence would mean softmax to llama.cpp.
      DeepseekV3ForCausalLM: { max_position_embeddings: 4096, scoring_func: 'sigmoid' },
    },
    derived: ({ n_routed_experts: experts, num_hidden_layers: layers, intermediate_size: width }: Fields): Fields => ({
      first_k_dense_replace: experts === undefined || experts === null ? layers : 0,
      moe_intermediate_size: experts === undefined || experts === null ? width : undefined,
      n_shared_experts: 0,
    }),
    supported: {
      // llama.cpp turns neighbours, in the order of the checkpoint.
      rope_interleave: [true],
      moe_layer_freq: [1],
      mscale: (value, { rope }) => value === rope.mscale_all_dim,
    },
    inert: [
      'num_nextn_predict_layers',
      'head_dim',
      'qk_head_dim',
      'ignore_index',
      'media_placeholder_token_id',
      'use_unified_vision_chunk',
    ],
  },
  keys: (config) => {
    const { latent, plain, rotated, valueLength } = latentDimensions(config)
    return [
      // With the key and value projections absorbed, all heads share one latent vector.
      ...baseKeys(config.with({ num_key_value_heads: 1, ...(isKnown(config) && { head_dim: rotated }) })),
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
      ...present('rope.scaling.yarn_log_multiplier', config.rope.mscale_all_dim, (all) => float32(0.1 * all)),
    ]
  },
  tensors: (config) => {
    const dimensions = latentDimensions(config)
    const { hidden } = dimensions
    const layers = config.get(count, ...names.layers)
    const width = config.get(size, ...names.feedForward)
    const dense = config.get(countOrNone, 'first_k_dense_replace')
    const experts = boundedExperts(config, layers - dense)
    return [
      ...endRows(config, { hidden, vocabulary: config.get(size, 'vocab_size') }),
      ...blocks('model.layers', layers, (layer) => [
        norm('input_layernorm', 'attn_norm', hidden),
        norm('post_attention_layernorm', 'ffn_norm', hidden),
        ...latentAttention(dimensions),
        ...(experts > 0 && layer >= dense
          ? expertRows(config, experts, hidden)
          : gatedFeedForward('mlp', hidden, width, { bias: false })),
      ]),
    ]
  },
  footprint: { attention: 'latent', normalizedExperts: 'key' },
  quirks: { leaveOut: leaveOutPrediction, dropsTiedOutput: true },
}

/** Whether transformers knows the configuration, and so fills in head_dim: the place of the key that it becomes. */
function isKnown({ fields }: ModelConfig): boolean {
  return fields['head_dim'] !== undefined || fields['model_type'] === 'deepseek_v2' || fields['model_type'] === 'deepseek_v3'
}

/** Multi-token prediction layers stand behind the others. */
function leaveOutPrediction(name: string, config: ModelConfig): string | undefined {
  const layer = /^model\.layers\.(\d+)\./.exec(name)?.[1]
  if (layer === undefined || Number(layer) < config.get(count, ...names.layers)) return undefined
  return `of the multi-token prediction layer ${layer}, which llama.cpp does not run`
}

function expertRows(config: ModelConfig, experts: number, hidden: number): Row[] {
  const width = config.get(size, 'moe_intermediate_size')
  const shared = config.find(countOrNone, 'n_shared_experts') ?? 0
  const biased = config.find(word, 'topk_method') === 'noaux_tc'
  return [
    tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    tensor('mlp.gate.e_score_correction_bias', 'exp_probs_b.bias', [experts], { optional: !biased }),
    ...routedExperts('mlp.experts', experts, hidden, width),
    ...(shared > 0 ? gatedFeedForward('mlp.shared_experts', hidden, shared * width, { bias: false, suffix: '_shexp' }) : []),
  ]
}
