import { concat, type Recipe, reshape, rowLength, slice, strideRows } from '../../../recipe/index.js'
import { groupedAttention } from '../attention.js'
import { baseKeys, type Dimensions, dimensionsOf, names } from '../base.js'
import { count, flag, type ModelConfig } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { uint32 } from '../metadata.js'
import { countedPredictions, predictionCount, predictionTensors } from '../mtp.js'
import { rotatedPart } from '../rope.js'
import { setTokenIds, tokenId } from '../special-token-ids.js'
import { linear, norm, type TensorMapping, within } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'

/** Source: GlmConfig and Glm4Config of transformers. */
export const glmDefaults = {
  head_dim: 128,
  max_position_embeddings: 131_072,
  num_key_value_heads: 2,
  partial_rotary_factor: 0.5,
  rms_norm_eps: 1.5625e-7,
  rope_theta: 10_000,
  tie_word_embeddings: false,
}

/** Gate and up in one matrix. */
export function fusedFeedForward({ hidden, feedForward }: Dimensions): TensorMapping[] {
  return [
    ...linear('mlp.gate_up_proj', 'ffn_up', [2 * feedForward, hidden], { bias: false }),
    ...linear('mlp.down_proj', 'ffn_down', [hidden, feedForward], { bias: false }),
  ]
}

/** GLM-4 of 2025 (0414, Z1): norms before and after each part, half of each head rotated. */
export const glm4: Family = {
  architecture: 'glm4',
  classes: ['Glm4ForCausalLM', 'Glm4vForConditionalGeneration'],
  fields: {
    defaults: glmDefaults,
    supported: { attention_bias: [true, false] },
  },
  keys: (config) => [...baseKeys(config), ['rope.dimension_count', uint32(rotatedLength(config))]],
  tensors: glm4Rows,
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: { adjustTokenizer },
}

/** GLM-OCR: the same with a layer that predicts a further token, which is kept. */
export const glmOcr: Family = {
  ...glm4,
  classes: ['GlmOcrForConditionalGeneration'],
  keys: (config) => [
    ...baseKeys(config.with({ num_hidden_layers: ocrLayers(config) })),
    ['rope.dimension_count', uint32(rotatedLength(config))],
    ...predictionCount(config),
  ],
  tensors: (config) => {
    const { layers, hidden, vocabulary } = dimensionsOf(config)
    const predictions = Array.from({ length: ocrLayers(config) - layers }, (_, index) => layers + index)
    return [
      ...glm4Rows(config.with({ num_hidden_layers: ocrLayers(config) })),
      ...predictions.flatMap((layer) => within(`model.layers.${layer}`, `blk.${layer}`, predictionTensors(hidden, vocabulary))),
    ]
  },
  quirks: { adjustTokenizer, layers: ocrLayers },
}

function glm4Rows(config: ModelConfig): TensorMapping[] {
  return decoderTensors(config, {
    norms: ({ hidden }) => [
      norm('input_layernorm', 'attn_norm', hidden),
      norm('post_self_attn_layernorm', 'post_attention_norm', hidden),
      norm('post_attention_layernorm', 'ffn_norm', hidden),
      norm('post_mlp_layernorm', 'post_ffw_norm', hidden),
    ],
    attention: (dimensions) =>
      groupedAttention(dimensions, { bias: biasOf(config), outputBias: false }).map(forAxes(config, dimensions)),
    feedForward: fusedFeedForward,
  })
}

/** transformers builds GLM-OCR without the biases that its config.json names. */
function biasOf(config: ModelConfig): boolean | 'optional' {
  if (config.find(flag, 'attention_bias') !== true) return false
  return config.className.startsWith('GlmOcr') ? 'optional' : true
}

function ocrLayers(config: ModelConfig): number {
  return config.get(count, ...names.layers) + countedPredictions(config)
}

/** llama.cpp turns halves where positions lie along several axes, neighbours otherwise: rows of queries and keys change places. */
function forAxes(config: ModelConfig, { headLength }: Dimensions): (mapping: TensorMapping) => TensorMapping {
  const { mrope_section: sections } = config.rope
  const length = rotatedLength(config)
  return (mapping) =>
    sections === undefined || sections === null || !/\.[qk]_proj\./.test(mapping.name)
      ? mapping
      : { ...mapping, toGguf: (input) => mapping.toGguf(toHalves(input, headLength, length)) }
}

/** Of each head, the even rows of the part that is rotated, the odd ones, and the rest. */
function toHalves(input: Recipe, headLength: number, rotated: number): Recipe {
  const columns = rowLength(input)
  const matrix = input.shape.length === 1 ? reshape(input, [columns, 1]) : input
  const heads = (matrix.shape[0] ?? 0) / headLength
  const parts = Array.from({ length: heads }, (_, head) => {
    const turned = slice(matrix, 0, head * headLength, head * headLength + rotated)
    return [
      strideRows(turned, 0, 2),
      strideRows(turned, 1, 2),
      ...(rotated < headLength ? [slice(matrix, 0, head * headLength + rotated, (head + 1) * headLength)] : []),
    ]
  })
  return reshape(concat(parts.flat()), input.shape)
}

/** Values of each head that are rotated. */
export function rotatedLength(config: ModelConfig): number {
  return Math.trunc(dimensionsOf(config).headLength * (rotatedPart(config) ?? 0.5))
}

function adjustTokenizer(entries: readonly Entry[]): readonly Entry[] {
  const end = tokenId(entries, '<|endoftext|>')
  return setTokenIds(entries, { eos: end, eot: tokenId(entries, '<|user|>'), unknown: end, bos: end })
}
