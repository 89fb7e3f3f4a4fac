import { type Recipe, reshape, strideRows, transpose } from '../../../recipe/index.js'
import { groupedAttention } from '../attention.js'
import { baseKeys, countKey, dimensionsOf, names } from '../base.js'
import { count, type ModelConfig } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts } from '../feed-forward.js'
import { linear, norm, split, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Family } from '../types.js'

/** gpt-oss: sinks in attention, a window in every second layer, experts with biases, whose gate and up-projection alternate row by row. */
export const gptOss: Family = {
  architecture: 'gpt-oss',
  classes: ['GptOssForCausalLM'],
  fields: {
    defaults: {
      head_dim: 64,
      max_position_embeddings: 131_072,
      num_key_value_heads: 8,
      num_local_experts: 128,
      num_experts_per_tok: 4,
      rms_norm_eps: 1e-5,
      rope_theta: 150_000,
      sliding_window: 128,
      tie_word_embeddings: false,
    },
    // llama.cpp knows the layers by their number, and the limits of the activation function.
    supported: {
      attention_bias: [true],
      layer_types: (value) =>
        Array.isArray(value) && value.every((kind, layer) => (kind === 'full_attention') === (layer % 2 === 1)),
      swiglu_alpha: [1.702],
      swiglu_limit: [7],
    },
    ignored: ['experts_per_token', 'initial_context_length'],
  },
  keys: (config) => [
    ...baseKeys(config),
    ...countKey(config, 'attention.sliding_window', 'sliding_window'),
    ...countKey(config, 'expert_feed_forward_length', 'intermediate_size'),
  ],
  tensors: (config) => {
    const { hidden, heads, feedForward } = dimensionsOf(config)
    return decoderTensors(config, {
      norms: () => [
        norm('input_layernorm', 'attn_norm', hidden),
        norm('post_attention_layernorm', 'post_attention_norm', hidden),
      ],
      attention: (dimensions) => [
        ...groupedAttention(dimensions, { bias: true }),
        tensor('self_attn.sinks', 'attn_sinks.weight', [heads]),
      ],
      feedForward: () => expertTensors(config, hidden, feedForward),
    })
  },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: { needsOutput: true },
}

function expertTensors(config: ModelConfig, hidden: number, width: number): TensorMapping[] {
  const experts = boundedExperts(config, config.get(count, ...names.layers))
  const packed = isPacked(config)
  /** Packed matrices have outputs as rows; the others are the other way round. */
  const upright = (input: Recipe): Recipe => (packed ? input : transpose(input))
  const shape = (rows: number, columns: number): readonly number[] => [experts, ...(packed ? [rows, columns] : [columns, rows])]
  return [
    ...linear('mlp.router', 'ffn_gate_inp', [experts, hidden], { bias: true }),
    tensor('mlp.experts.down_proj', 'ffn_down_exps.weight', shape(hidden, width), { transform: upright }),
    tensor('mlp.experts.down_proj_bias', 'ffn_down_exps.bias', [experts, hidden]),
    split('mlp.experts.gate_up_proj', shape(2 * width, hidden), (both) => [
      { name: 'ffn_gate_exps.weight', recipe: strideRows(upright(both), 0, 2) },
      { name: 'ffn_up_exps.weight', recipe: strideRows(upright(both), 1, 2) },
    ]),
    split('mlp.experts.gate_up_proj_bias', [experts, 2 * width], (both) => {
      const column = reshape(both, [experts * 2 * width, 1])
      return ['gate', 'up'].map((kind, first) => ({
        name: `ffn_${kind}_exps.bias`,
        recipe: reshape(strideRows(column, first, 2), [experts, width]),
      }))
    }),
  ]
}

/** Whether the experts are in MXFP4. Shapes decide where a config.json names that and the weights are plain. */
function isPacked(config: ModelConfig): boolean {
  const { quantization_config: quantization } = config.fields
  const { hidden, feedForward } = dimensionsOf(config)
  const [, rows, columns] = config.shapeOf('model.layers.0.mlp.experts.gate_up_proj') ?? []
  if (hidden !== 2 * feedForward && rows === hidden && columns === 2 * feedForward) return false
  return (
    typeof quantization === 'object' &&
    quantization !== null &&
    'quant_method' in quantization &&
    quantization.quant_method === 'mxfp4'
  )
}
