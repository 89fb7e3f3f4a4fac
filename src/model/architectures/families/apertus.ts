import { dimensionsOf } from '../base.js'
import type { ModelConfig } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { headLength, llamaDefaults, llamaKeys } from '../llama.js'
import { plainFeedForward } from '../plain-feed-forward.js'
import { ropeFrequencies } from '../rope.js'
import { norm, silently } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'
import { adjustTokenizer } from './llama.js'

/** Parameters of the activation function xIELU, one of each a layer: metadata in GGUF. */
const parameters = ['alpha_n', 'alpha_p', 'beta', 'eps']

/** Apertus: norms of each head's queries and keys, no gate, an activation function with learned parameters. */
export const apertus: Family = {
  architecture: 'apertus',
  classes: ['ApertusForCausalLM'],
  fields: {
    defaults: { ...llamaDefaults, max_position_embeddings: 65_536, rms_norm_eps: 1e-5, rope_theta: 12_000_000 },
    derived: (fields) => ({ num_key_value_heads: headLength(fields)['num_key_value_heads'] }),
    supported: { hidden_act: ['xielu'], post_norm: [false], qk_norm: [true] },
    ropeKinds: ['llama3'],
  },
  keys: llamaKeys,
  tensors: (config) =>
    decoderTensors(config, {
      norms: ({ hidden }) => [
        norm('attention_layernorm', 'attn_norm', hidden),
        norm('feedforward_layernorm', 'ffn_norm', hidden),
      ],
      attention: { headNorm: dimensionsOf(config).headLength },
      feedForward: ({ hidden, feedForward }) => plainFeedForward('mlp', hidden, feedForward),
    }),
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: {
    needsOutput: true,
    firstKeys: activationKeys,
    computed: (config) => ropeFrequencies(config, dimensionsOf(config).headLength),
    leaveOut: (name) => (/\.act_fn\.(alpha_[np]|beta|eps)$/.test(name) ? silently : undefined),
    adjustTokenizer,
  },
}

/** @throws MqError TENSOR_MISSING. */
async function activationKeys(config: ModelConfig): Promise<readonly Entry[]> {
  const { layers } = dimensionsOf(config)
  const { checkpoint } = config
  const entries: Entry[] = []
  for (const parameter of parameters) {
    const values: number[] = []
    for (let layer = 0; layer < layers; layer++) {
      const [value] = await checkpoint.values(`model.layers.${layer}.mlp.act_fn.${parameter}`)
      values.push(value ?? Number.NaN)
    }
    entries.push([`xielu.${parameter}`, { type: 'array', elementType: 'float32', value: values }])
  }
  return entries
}
