import { groupedAttention } from '../attention.js'
import { counts, dimensionsOf, fileTypePlace, names } from '../base.js'
import { count, countOrNone, finite, flag, type ModelConfig, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { float32, uint32 } from '../metadata.js'
import { mamba } from '../state-space.js'
import { blocks, norm, tensor } from '../tensor-mappings.js'
import { type Family, twiceAsWide } from '../types.js'

/** Jamba: a layer of attention among many of Mamba, experts in every second. */
export const jamba: Family = {
  architecture: 'jamba',
  classes: ['JambaForCausalLM'],
  fields: {
    defaults: {
      attn_layer_offset: 4,
      attn_layer_period: 8,
      expert_layer_offset: 1,
      expert_layer_period: 2,
      mamba_d_conv: 4,
      mamba_d_state: 16,
      mamba_expand: 2,
      max_position_embeddings: 262_144,
      num_experts: 16,
      num_experts_per_tok: 2,
      num_key_value_heads: 8,
      rms_norm_eps: 1e-6,
      tie_word_embeddings: false,
    },
    supported: { mamba_conv_bias: [true], mamba_proj_bias: [false], mamba_inner_layernorms: [true] },
    ignored: ['calc_logits_for_entire_prompt', 'num_logits_to_keep'],
  },
  keys: (config) => {
    const { layers, hidden, feedForward, heads, keyValueHeads } = dimensionsOf(config)
    const { inner, kernel, state, stepRank } = stateSpaceOf(config)
    return [
      ['block_count', uint32(layers)],
      ['context_length', uint32(config.get(size, 'max_position_embeddings', 'n_ctx'))],
      ['embedding_length', uint32(hidden)],
      ['feed_forward_length', uint32(feedForward)],
      ['attention.head_count', uint32(heads)],
      [
        'attention.head_count_kv',
        counts(Array.from({ length: layers }, (_, layer) => (hasAttention(config, layer) ? keyValueHeads : 0))),
      ],
      ['ssm.conv_kernel', uint32(kernel)],
      ['ssm.inner_size', uint32(inner)],
      ['ssm.state_size', uint32(state)],
      ['ssm.time_step_rank', uint32(stepRank)],
      ['attention.layer_norm_rms_epsilon', float32(config.find(finite, 'layer_norm_epsilon', 'rms_norm_eps') ?? 1e-6)],
      ['expert_count', uint32(config.get(countOrNone, 'num_local_experts', 'num_experts'))],
      ['expert_used_count', uint32(config.get(countOrNone, ...names.expertsUsed))],
      fileTypePlace,
    ]
  },
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    const { layers, hidden, feedForward } = dimensions
    const experts = boundedExperts(config, Array.from({ length: layers }).filter((_, layer) => hasExperts(config, layer)).length)
    return [
      ...embeddingAndOutputTensors(config, dimensions, { norm: 'final_layernorm' }),
      ...blocks('model.layers', layers, (layer) => [
        norm('input_layernorm', 'attn_norm', hidden),
        norm('pre_ff_layernorm', 'ffn_norm', hidden),
        ...(hasAttention(config, layer)
          ? groupedAttention(dimensions, { bias: false })
          : mamba('mamba', stateSpaceOf(config), { norms: true })),
        ...(hasExperts(config, layer)
          ? [
              tensor('feed_forward.router.weight', 'ffn_gate_inp.weight', [experts, hidden]),
              ...routedExperts('feed_forward.experts', experts, hidden, feedForward),
            ]
          : gatedFeedForward('feed_forward', hidden, feedForward, { bias: false })),
      ]),
    ]
  },
  widths: { feedForward: true, fixed: twiceAsWide },
  quirks: { rename: plainExpert },
}

function every(config: ModelConfig, part: string, layer: number): boolean {
  const offset = config.get(countOrNone, `${part}_offset`)
  return layer >= offset && (layer - offset) % config.get(count, `${part}_period`) === 0
}

function hasAttention(config: ModelConfig, layer: number): boolean {
  return every(config, 'attn_layer', layer)
}

function hasExperts(config: ModelConfig, layer: number): boolean {
  return every(config, 'expert_layer', layer) && config.get(countOrNone, 'num_local_experts', 'num_experts') > 1
}

function stateSpaceOf(config: ModelConfig): Parameters<typeof mamba>[1] {
  const hidden = config.get(size, 'hidden_size')
  const rank = config.fields['mamba_dt_rank'] === 'auto' ? undefined : config.find(size, 'mamba_dt_rank')
  config.find(flag, 'mamba_conv_bias')
  return {
    hidden,
    inner: config.get(count, 'mamba_expand') * hidden,
    state: config.get(size, 'mamba_d_state'),
    kernel: config.get(count, 'mamba_d_conv'),
    stepRank: rank ?? Math.ceil(hidden / 16),
  }
}

/** Some checkpoints name the one feed-forward part of a layer as its only expert. */
function plainExpert(name: string, config: ModelConfig): string {
  const one = name.replace('.moe.', '.feed_forward.')
  const layer = /^model\.layers\.(\d+)\./.exec(one)?.[1]
  return layer === undefined || hasExperts(config, Number(layer)) ? one : one.replace('.experts.0.', '.')
}
