import { type GroupedOptions, groupedAttention } from './attention.js'
import { type Dimensions, dimensionsOf } from './base.js'
import { flag, type ModelConfig } from './config.js'
import { type EndOptions, embeddingAndOutputTensors } from './embedding-and-output.js'
import { gatedFeedForward } from './feed-forward.js'
import { leaveOutMultimodal } from './multimodal.js'
import { blocks, layerNorm, norm, type TensorMapping } from './tensor-mappings.js'

interface DecoderOptions extends EndOptions {
  /** Instead of two norms, before attention and before the feed-forward part. */
  readonly norms?: (dimensions: Dimensions) => TensorMapping[]
  /** Options of grouped attention, or rows of another kind of attention. */
  readonly attention?: GroupedOptions | ((dimensions: Dimensions, layer: number) => TensorMapping[])
  /** Instead of gate, up and down in one matrix each. */
  readonly feedForward?: (dimensions: Dimensions, layer: number) => TensorMapping[]
}

/** The tensors of a decoder whose layers are attention and a feed-forward part, each behind a norm. @throws MqError CONFIG_INVALID. */
export function decoderTensors(config: ModelConfig, options: DecoderOptions = {}): TensorMapping[] {
  const { norms = preNorms, attention = {}, feedForward = swiglu, root = 'model.', ...ends } = options
  const dimensions = dimensionsOf(config)
  return [
    ...embeddingAndOutputTensors(config, dimensions, { root, ...ends }),
    ...blocks(`${root}layers`, dimensions.layers, (layer) => [
      ...norms(dimensions),
      ...(typeof attention === 'function' ? attention(dimensions, layer) : groupedAttention(dimensions, attention)),
      ...feedForward(dimensions, layer),
    ]),
  ]
}

/** Norms before attention and before the feed-forward part, as Llama names them. */
export function preNorms({ hidden }: Pick<Dimensions, 'hidden'>): TensorMapping[] {
  return [norm('input_layernorm', 'attn_norm', hidden), norm('post_attention_layernorm', 'ffn_norm', hidden)]
}

/** The same norms with biases, of models with LayerNorm. */
export function preLayerNorms({ hidden }: Pick<Dimensions, 'hidden'>): TensorMapping[] {
  return [...layerNorm('input_layernorm', 'attn_norm', hidden), ...layerNorm('post_attention_layernorm', 'ffn_norm', hidden)]
}

function swiglu({ hidden, feedForward }: Dimensions): TensorMapping[] {
  return gatedFeedForward('mlp', hidden, feedForward)
}

const biasNames = {
  attention_bias: /\.self_attn\.\w+_proj\.bias$/,
  mlp_bias: /\.mlp\.\w+_proj\.bias$/,
  use_qkv_bias: /\.self_attn\.[qkv]_proj\.bias$/,
} as const

/**
 * llama.cpp adds a bias wherever there is one; where config.json asks for it, there must be one. transformers passes over those that it does
 * not ask for, which the user is told.
 */
export function biasOf(config: ModelConfig, field: keyof typeof biasNames): true | 'optional' {
  if (config.find(flag, field) === true) return true
  const found = config.checkpoint.names.filter(
    (name) => biasNames[field].test(name) && leaveOutMultimodal(name) === undefined,
  ).length
  if (found > 0) {
    config.notes.push(
      `The checkpoint has ${found === 1 ? 'a bias' : `${found} biases`} that config.json does not ask for (${field}): llama.cpp's converter keeps such biases, and so does mq; transformers ignores them.`,
    )
  }
  return 'optional'
}
