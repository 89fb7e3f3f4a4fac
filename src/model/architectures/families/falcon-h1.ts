import * as v from 'valibot'
import { concat, type Recipe, slice } from '../../../recipe/index.js'
import { dimensionsOf, fileTypePlace } from '../base.js'
import { count, finite, flag, type ModelConfig, size } from '../config.js'
import { isTied } from '../embedding-and-output.js'
import { float32, uint32 } from '../metadata.js'
import { type Mamba2Dimensions, mamba2, scaled, stepFields, unclippedStep } from '../state-space.js'
import { blocks, linear, norm, split, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'

const factors = (length: number) => v.pipe(v.array(finite), v.length(length))

/**
 * Falcon-H1: attention and Mamba 2 side by side in every layer. Its multipliers go into the matrices: llama.cpp has no keys for them.
 */
export const falconH1: Family = {
  architecture: 'falcon-h1',
  classes: ['FalconH1ForCausalLM'],
  fields: {
    defaults: {
      attention_in_multiplier: 1,
      attention_out_multiplier: 1,
      embedding_multiplier: 1,
      key_multiplier: 1,
      lm_head_multiplier: 1,
      mamba_d_conv: 4,
      mamba_d_head: 64,
      mamba_d_state: 256,
      mamba_n_groups: 1,
      mamba_rms_norm: false,
      max_position_embeddings: 8192,
      mlp_multipliers: [1, 1],
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      rope_theta: 100_000,
      ssm_in_multiplier: 1,
      ssm_multipliers: [1, 1, 1, 1, 1],
      ssm_out_multiplier: 1,
      tie_word_embeddings: false,
    },
    derived: ({ mamba_expand: expand = 2, hidden_size: hidden, num_attention_heads: heads }) => ({
      mamba_d_ssm: Number(expand) * Number(hidden),
      head_dim: Math.floor(Number(hidden) / Number(heads)),
    }),
    supported: {
      mamba_conv_bias: [true],
      mamba_norm_before_gate: [false],
      mamba_proj_bias: [false],
      mamba_use_mlp: [true],
      projectors_bias: [false],
      time_step_limit: unclippedStep,
    },
    ignored: [
      ...stepFields,
      'attn_layer_indices',
      'mamba_chunk_size',
      'mamba_expand',
      'mlp_expansion_factor',
      'num_logits_to_keep',
    ],
  },
  keys: (config) => {
    const { layers, hidden, feedForward, vocabulary, heads, keyValueHeads, headLength } = dimensionsOf(config)
    const { inner, kernel, state, heads: stateHeads, groups } = stateSpaceOf(config)
    const { theta } = config.rope
    if (theta === undefined || config.rope.kind !== 'default')
      throw config.invalid('llama.cpp has no RoPE scaling for this architecture')
    return [
      ['context_length', uint32(config.get(size, 'max_position_embeddings'))],
      ['embedding_length', uint32(hidden)],
      ['feed_forward_length', uint32(feedForward)],
      ['attention.head_count', uint32(heads)],
      ['block_count', uint32(layers)],
      ['ssm.conv_kernel', uint32(kernel)],
      ['ssm.inner_size', uint32(inner)],
      ['ssm.state_size', uint32(state)],
      ['ssm.time_step_rank', uint32(stateHeads)],
      ['ssm.group_count', uint32(groups)],
      ['attention.layer_norm_rms_epsilon', float32(config.get(finite, 'layer_norm_epsilon', 'rms_norm_eps'))],
      fileTypePlace,
      ['vocab_size', uint32(vocabulary)],
      ['attention.head_count_kv', uint32(keyValueHeads)],
      ['attention.key_length', uint32(headLength)],
      ['attention.value_length', uint32(headLength)],
      ['rope.freq_base', float32(theta)],
    ]
  },
  tensors: (config) => {
    const { layers, hidden, feedForward, heads, keyValueHeads, headLength } = dimensionsOf(config)
    const factor = (field: string) => scaled(config.get(finite, field))
    const [gate = 1, down = 1] = config.get(factors(2), 'mlp_multipliers')
    const keys = keyValueHeads * headLength
    const queries = heads * headLength
    const attentionIn = factor('attention_in_multiplier')
    const keyFactor = factor('key_multiplier')
    const key = (input: Recipe): Recipe => attentionIn(keyFactor(input))
    const plain = (
      from: string,
      to: string,
      shape: readonly [number, number],
      transform?: (input: Recipe) => Recipe,
    ): TensorMapping[] => linear(from, to, shape, { bias: false, ...(transform !== undefined && { transform }) })
    return [
      ...ends(config),
      ...blocks('model.layers', layers, () => [
        norm('input_layernorm', 'attn_norm', hidden),
        // Without a suffix, as llama.cpp looks for it.
        tensor('pre_ff_layernorm.weight', 'ffn_norm', [hidden]),
        ...plain('self_attn.q_proj', 'attn_q', [queries, hidden], attentionIn),
        ...plain('self_attn.k_proj', 'attn_k', [keys, hidden], key),
        ...plain('self_attn.v_proj', 'attn_v', [keys, hidden], attentionIn),
        ...plain('self_attn.o_proj', 'attn_output', [hidden, queries], factor('attention_out_multiplier')),
        ...mamba2('mamba', stateSpaceOf(config), {
          convolutionBias: true,
          norm: config.get(flag, 'mamba_rms_norm'),
          input: scaledParts(config),
          output: factor('ssm_out_multiplier'),
        }),
        ...plain('feed_forward.gate_proj', 'ffn_gate', [feedForward, hidden], scaled(gate)),
        ...plain('feed_forward.up_proj', 'ffn_up', [feedForward, hidden]),
        ...plain('feed_forward.down_proj', 'ffn_down', [hidden, feedForward], scaled(down)),
      ]),
    ]
  },
  widths: { feedForward: true, embedding: 'stream' },
}

/** Embedding and output matrix differ by their multipliers even where the checkpoint has one for both. */
function ends(config: ModelConfig): TensorMapping[] {
  const { vocabulary, hidden } = dimensionsOf(config)
  const embedding = scaled(config.get(finite, 'embedding_multiplier'))
  const output = scaled(config.get(finite, 'lm_head_multiplier'))
  const tied = isTied(config)
  return [
    split('model.embed_tokens.weight', [vocabulary, hidden], (input) => [
      { name: 'token_embd.weight', recipe: embedding(input) },
      ...(tied ? [{ name: 'output.weight', recipe: output(input) }] : []),
    ]),
    norm('model.final_layernorm', 'output_norm', hidden),
    ...(tied ? [] : [tensor('lm_head.weight', 'output.weight', [vocabulary, hidden], { transform: output })]),
  ]
}

function stateSpaceOf(config: ModelConfig): Mamba2Dimensions {
  const inner = config.get(size, 'mamba_d_ssm')
  const heads = inner / config.get(size, 'mamba_d_head')
  const groups = config.get(count, 'mamba_n_groups')
  if (!Number.isInteger(heads) || !Number.isInteger(inner / groups) || heads !== (config.find(count, 'mamba_n_heads') ?? heads)) {
    throw config.invalid('mamba_d_ssm, mamba_d_head, mamba_n_heads and mamba_n_groups do not fit')
  }
  return {
    hidden: config.get(size, 'hidden_size'),
    inner,
    state: config.get(size, 'mamba_d_state'),
    kernel: config.get(count, 'mamba_d_conv'),
    heads,
    groups,
  }
}

/** Rows of the input projection: gate, inner stream, B, C and step have multipliers of their own. */
function scaledParts(config: ModelConfig): (input: Recipe) => Recipe {
  const { inner, groups, state } = stateSpaceOf(config)
  const whole = scaled(config.get(finite, 'ssm_in_multiplier'))
  const multipliers = config.get(factors(5), 'ssm_multipliers')
  const lengths = [inner, inner, groups * state, groups * state, Number.POSITIVE_INFINITY]
  return (input) => {
    const all = whole(input)
    let end = 0
    return concat(
      multipliers.map((factor, part) => {
        const start = end
        end = Math.min(input.shape[0] as number, start + (lengths[part] as number))
        return scaled(factor)(slice(all, 0, start, end))
      }),
    )
  }
}
