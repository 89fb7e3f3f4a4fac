import * as v from 'valibot'
import { reshape, transpose } from '../../../recipe/index.js'
import { countKey, fileTypePlace } from '../base.js'
import { count, finite, type ModelConfig, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { float32, uint32 } from '../metadata.js'
import { blocks, linear, norm, tensor } from '../tensor-mappings.js'
import { type Family, layerNorms } from '../types.js'

/** Of training, or filled in by transformers. */
const ignored = v.optional(v.unknown())
const attentionFields = v.strictObject({
  attn_pdrop: ignored,
  clip_qkv: finite,
  kv_n_heads: count,
  model_type: ignored,
  rope_theta: finite,
})
const expertFields = v.strictObject({
  ffn_act_fn: v.nullish(v.object({ name: v.literal('silu') })),
  hidden_size: ignored,
  model_type: ignored,
  moe_jitter_eps: ignored,
  moe_loss_weight: ignored,
  uniform_expert_assignment: v.nullish(v.literal(false)),
  ffn_hidden_size: size,
  moe_num_experts: count,
  moe_top_k: count,
  moe_normalize_expert_weights: v.nullish(v.literal(1)),
})

/** DBRX: fused and clamped queries, keys and values, layer norms without biases, experts in one matrix of each kind. */
export const dbrx: Family = {
  architecture: 'dbrx',
  classes: ['DbrxForCausalLM'],
  fields: {
    defaults: { max_seq_len: 2048, tie_word_embeddings: false },
    ignored: ['emb_pdrop'],
  },
  keys: (config) => {
    const { attention, experts } = partsOf(config)
    return [
      ...countKey(config, 'block_count', 'n_layers'),
      ...countKey(config, 'context_length', 'max_seq_len'),
      ...countKey(config, 'embedding_length', 'd_model'),
      ['feed_forward_length', uint32(experts.ffn_hidden_size)],
      ...countKey(config, 'attention.head_count', 'n_heads'),
      ['attention.head_count_kv', uint32(attention.kv_n_heads)],
      ['rope.freq_base', float32(attention.rope_theta)],
      ['attention.clamp_kqv', float32(attention.clip_qkv)],
      ['expert_count', uint32(experts.moe_num_experts)],
      ['expert_used_count', uint32(experts.moe_top_k)],
      ['attention.layer_norm_epsilon', float32(1e-5)],
      fileTypePlace,
    ]
  },
  tensors: (config) => {
    const { attention, experts } = partsOf(config)
    const { moe_num_experts: number, ffn_hidden_size: width } = experts
    const hidden = config.get(size, 'd_model')
    const rows = hidden + 2 * attention.kv_n_heads * Math.floor(hidden / config.get(count, 'n_heads'))
    const all = [number * width, hidden]
    const ends = { root: 'transformer.', embedding: 'wte', norm: 'norm_f' }
    return [
      ...embeddingAndOutputTensors(config, { hidden, vocabulary: config.get(size, 'vocab_size') }, ends),
      ...blocks('transformer.blocks', config.get(count, 'n_layers'), () => [
        norm('norm_attn_norm.norm_1', 'attn_norm', hidden),
        norm('norm_attn_norm.norm_2', 'attn_output_norm', hidden),
        ...linear('norm_attn_norm.attn.Wqkv', 'attn_qkv', [rows, hidden], { bias: false }),
        ...linear('norm_attn_norm.attn.out_proj', 'attn_output', [hidden, hidden], { bias: false }),
        tensor('ffn.router.layer.weight', 'ffn_gate_inp.weight', [number, hidden]),
        ...(['w1', 'v1', 'w2'] as const).map((name) =>
          tensor(`ffn.experts.mlp.${name}`, `ffn_${kinds[name]}_exps.weight`, all, {
            transform: (input) => {
              const apart = reshape(input, [number, width, hidden])
              return name === 'w2' ? transpose(apart) : apart
            },
          }),
        ),
      ]),
    ]
  },
  widths: { feedForward: true, fixed: layerNorms },
  quirks: { layers: (config) => config.get(count, 'n_layers') },
}

const kinds = { w1: 'gate', v1: 'up', w2: 'down' } as const

function partsOf(config: ModelConfig): {
  readonly attention: v.InferOutput<typeof attentionFields>
  readonly experts: v.InferOutput<typeof expertFields>
} {
  return { attention: config.get(attentionFields, 'attn_config'), experts: config.get(expertFields, 'ffn_config') }
}
