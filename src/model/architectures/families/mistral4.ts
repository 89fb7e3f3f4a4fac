import { present } from '../base.js'
import { latentFields, latentKeys, latentTensors } from '../latent-model.js'
import { float32, uint32 } from '../metadata.js'
import type { Family } from '../types.js'

/** Mistral Small 4: latent attention and experts, as DeepSeek V3; attention is scaled by position beyond the first context. */
export const mistral4: Family = {
  architecture: 'mistral4',
  classes: ['Mistral3ForConditionalGeneration'],
  applies: ({ model_type: type }) => type === 'mistral4',
  fields: {
    ...latentFields,
    defaults: { ...latentFields.defaults, norm_topk_prob: true, routed_scaling_factor: 1 },
    supported: { ...latentFields.supported, 'rope.partial_rotary_factor': () => true, llama_4_scaling_beta: () => true },
  },
  keys: (config) => {
    const { llama_4_scaling_beta: scale, original_max_position_embeddings: length } = config.rope
    return [
      ...latentKeys(config),
      ...present('attention.temperature_scale', scale, float32),
      ...(scale === undefined || scale === null ? [] : present('attention.temperature_length', length, uint32)),
    ]
  },
  tensors: (config) => latentTensors(config, { fusedExperts: config.hasTensor('model.layers.0.mlp.experts.gate_up_proj') }),
  widths: { feedForward: true, embedding: 'plain' },
  quirks: { dropsTiedOutput: true },
}
