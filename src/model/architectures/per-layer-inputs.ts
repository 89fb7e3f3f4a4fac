import { linear, norm, type TensorMapping } from './tensor-mappings.js'
import type { Family } from './types.js'

// Inputs of their own for each layer (Gemma 3n, and Gemma 4 E2B and E4B): a second embedding, added by a gate behind each layer.

/** What stands outside the blocks, besides the embedding. */
export function perLayerTensors(hidden: number, layers: number, width: number): TensorMapping[] {
  return [
    ...linear('model.per_layer_model_projection', 'per_layer_model_proj', [layers * width, hidden], { bias: false }),
    norm('model.per_layer_projection_norm', 'per_layer_proj_norm', width),
  ]
}

/** What stands in a block. */
export function perLayerInputTensors(hidden: number, width: number): TensorMapping[] {
  return [
    ...linear('per_layer_input_gate', 'inp_gate', [width, hidden], { bias: false }),
    ...linear('per_layer_projection', 'proj', [hidden, width], { bias: false }),
    norm('post_per_layer_input_norm', 'post_norm', hidden),
  ]
}

/** The embedding is most of the model; the small matrices have the floor of unknown ones. */
export const perLayerRoles: NonNullable<Family['roles']> = { per_layer_token_embd: 'embedding' }
