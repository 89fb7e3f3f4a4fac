import { baseKeys, countKey } from '../base.js'
import { count, type ModelConfig } from '../config.js'
import { float32, uint32 } from '../metadata.js'
import { expertTensors, normedAttention, qwenExpertFields } from '../qwen.js'
import { silently, stackedExperts, type TensorMapping } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** Experts that share one of the small ones, and how much that adds: numbers in the code beside the checkpoint. */
const perGroup = 2
const groupScale = 0.05

/** GroveMoE: Qwen3's experts, and for each two of them a small one that both add to. */
export const groveMoe: Family = {
  architecture: 'grovemoe',
  classes: ['GroveMoeForCausalLM', 'modeling_grove_moe.GroveMoeForCausalLM'],
  fields: qwenExpertFields,
  keys: (config) => [
    ...baseKeys(config),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ['expert_chunk_feed_forward_length', uint32(smallWidth(config))],
    ['experts_per_group', uint32(perGroup)],
    ['expert_group_scale', float32(groupScale)],
  ],
  tensors: (config) => expertTensors(config, normedAttention, ({ hidden }) => smallExperts(config, hidden)),
  footprint: { attention: 'grouped', normalizedExperts: true },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  roles: { ffn_gate_chexps: 'expert-gate', ffn_up_chexps: 'expert-up', ffn_down_chexps: 'expert-down' },
  quirks: { leaveOut: (name) => (name.endsWith('.expert_bias') ? silently : undefined) },
}

function smallWidth(config: ModelConfig): number {
  return config.find(count, 'head_dim') ?? 128
}

function smallExperts(config: ModelConfig, hidden: number): TensorMapping[] {
  const width = smallWidth(config)
  const kind = (name: string, shape: readonly [number, number]) => ({
    from: (expert: number): string => `mlp.chunk_experts.${expert}.${name}_proj.weight`,
    to: `ffn_${name}_chexps.weight`,
    shape,
  })
  return stackedExperts(config.get(count, 'num_experts') / perGroup, [
    kind('down', [hidden, width]),
    kind('gate', [width, hidden]),
    kind('up', [width, hidden]),
  ])
}
