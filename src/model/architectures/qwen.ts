import { groupedAttention } from './attention.js'
import { type Dimensions, dimensionsOf } from './base.js'
import { windowNote } from './check-config-fields.js'
import { countOrNone, flag, listOf, type ModelConfig, size } from './config.js'
import { decoderTensors } from './decoder.js'
import { withHead } from './embedding-and-output.js'
import { boundedExperts, gatedFeedForward, routedExperts } from './feed-forward.js'
import { type TensorMapping, tensor } from './tensor-mappings.js'
import type { FieldRule, FieldTable } from './types.js'

/** Source: the Config classes of transformers. */
export const qwenDefaults = {
  max_position_embeddings: 32_768,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  tie_word_embeddings: false,
}

/** A window of the upper layers, if use_sliding_window says so; llama.cpp has none for these. */
export const windowed: Readonly<Record<string, FieldRule>> = {
  use_sliding_window: (value, config) => value !== true || upperWindowNote(config),
}

/** In dense models only layers from max_window_layers on have the window; with experts, by some versions of transformers, all have. */
function upperWindowNote(config: ModelConfig): boolean | string {
  const { max_window_layers: first, num_hidden_layers: layers, num_experts: experts, sliding_window: window } = config.fields
  if (window === undefined || window === null) return true
  if (experts === undefined && typeof first === 'number' && first >= Number(layers)) return true
  return windowNote(window, config)
}

export const qwenIgnored = ['sliding_window', 'max_window_layers']

/** Fields of Qwen3 with routed experts, and of models made of it. */
export const qwenExpertFields: FieldTable = {
  defaults: { ...qwenDefaults, decoder_sparse_step: 1 },
  supported: { ...windowed, norm_topk_prob: [true] },
  ignored: qwenIgnored,
}

/** The part of an omni model that reads and thinks. */
export function ofThinker(name: string): string {
  return name.replace(/^thinker\./, '')
}

export function normedAttention(dimensions: Dimensions): TensorMapping[] {
  return groupedAttention(dimensions, { headNorm: dimensions.headLength })
}

export function denseTensors(config: ModelConfig, attention: (dimensions: Dimensions) => TensorMapping[]): TensorMapping[] {
  return decoderTensors(withHead(config), { attention })
}

/** Not every layer need have experts: those that mlp_only_layers names have not, nor those between the steps. */
export function expertTensors(
  config: ModelConfig,
  attention: (dimensions: Dimensions) => TensorMapping[],
  shared: (dimensions: Dimensions) => TensorMapping[],
): TensorMapping[] {
  const dimensions = dimensionsOf(config)
  const { layers, hidden, feedForward } = dimensions
  const experts = boundedExperts(config, layers)
  const width = config.get(size, 'moe_intermediate_size')
  const step = config.get(size, 'decoder_sparse_step')
  const dense = new Set(config.find(listOf(countOrNone), 'mlp_only_layers'))
  config.find(flag, 'norm_topk_prob')
  return decoderTensors(config, {
    attention,
    feedForward: (_, layer) =>
      dense.has(layer) || (layer + 1) % step !== 0 || experts === 0
        ? gatedFeedForward('mlp', hidden, feedForward)
        : [
            tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
            ...routedExperts('mlp.experts', experts, hidden, width, {
              fused: config.hasTensor(`model.layers.${layer}.mlp.experts.gate_up_proj`),
            }),
            ...shared(dimensions),
          ],
  })
}
