import { stack } from '../../../recipe/index.js'
import { groupedAttention } from '../attention.js'
import { countKey, type Dimensions, dimensionsOf, fileTypePlace, floatKey, names } from '../base.js'
import { flag, type ModelConfig } from '../config.js'
import { biasOf, decoderTensors } from '../decoder.js'
import { bool, uint32 } from '../metadata.js'
import { plainRope, rotatedPart } from '../rope.js'
import { joined, layerNorm, type TensorMapping } from '../tensor-mappings.js'
import { type Family, layerNorms } from '../types.js'

/** StableLM 2 and its forerunners: layer norms, a quarter of each head rotated; in some, attention and feed-forward side by side. */
export const stablelm: Family = {
  architecture: 'stablelm',
  classes: ['StableLmForCausalLM', 'StableLMEpochForCausalLM', 'LlavaStableLMEpochForCausalLM'],
  fields: {
    defaults: {
      layer_norm_eps: 1e-5,
      max_position_embeddings: 4096,
      num_key_value_heads: 32,
      partial_rotary_factor: 0.25,
      rope_theta: 10_000,
      tie_word_embeddings: false,
    },
    supported: { ...plainRope, use_qkv_bias: [true, false], qk_layernorm: [true, false] },
    ignored: ['norm_eps'],
  },
  keys: (config) => [
    ...countKey(config, 'context_length', 'max_position_embeddings'),
    ...countKey(config, 'embedding_length', 'hidden_size'),
    ...countKey(config, 'block_count', ...names.layers),
    ...countKey(config, 'feed_forward_length', 'intermediate_size'),
    ['rope.dimension_count', uint32(rotatedLength(config))],
    ...countKey(config, 'attention.head_count', 'num_attention_heads'),
    ...countKey(config, 'attention.head_count_kv', 'num_key_value_heads'),
    ['use_parallel_residual', bool(isParallel(config))],
    ...floatKey(config, 'attention.layer_norm_epsilon', 'layer_norm_eps', 'norm_eps'),
    fileTypePlace,
  ],
  tensors: (config) => {
    const bias = biasOf(config, 'use_qkv_bias')
    return decoderTensors(config, {
      normBias: true,
      norms: ({ hidden }) => [
        ...layerNorm('input_layernorm', 'attn_norm', hidden),
        ...(hasOneNorm(config) ? [] : layerNorm('post_attention_layernorm', 'ffn_norm', hidden)),
      ],
      attention: (dimensions) => [
        ...groupedAttention(dimensions, { bias, outputBias: false }),
        ...(config.find(flag, 'qk_layernorm') === true
          ? [...headNorms('q', dimensions.heads, dimensions), ...headNorms('k', dimensions.keyValueHeads, dimensions)]
          : []),
      ],
    })
  },
  footprint: { attention: 'grouped', parallel: 'without-norm' },
  widths: { feedForward: true, fixed: layerNorms },
  quirks: { needsOutput: true },
}

/** Source: set_gguf_parameters of conversion/stablelm.py, whose older models do not say it. */
function isParallel(config: ModelConfig): boolean {
  return config.find(flag, 'use_parallel_residual') ?? true
}

/** Side by side, both parts may share a norm. */
function hasOneNorm(config: ModelConfig): boolean {
  return isParallel(config) && !config.hasTensor('model.layers.0.post_attention_layernorm.weight')
}

function rotatedLength(config: ModelConfig): number {
  const { hidden, heads } = dimensionsOf(config)
  return Math.trunc((rotatedPart(config) ?? 0.25) * Math.floor(hidden / heads))
}

/** Each head has a norm of its own, a tensor each. */
function headNorms(kind: 'q' | 'k', heads: number, { headLength }: Dimensions): TensorMapping[] {
  const parts = Array.from({ length: heads }, (_, head) => ({
    name: `self_attn.${kind}_layernorm.norms.${head}.weight`,
    shape: [headLength],
  }))
  return joined(parts, (norms) => [{ name: `attn_${kind}_norm.weight`, recipe: stack(norms) }])
}
