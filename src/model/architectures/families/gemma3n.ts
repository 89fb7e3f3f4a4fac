import { concat, constant, expand, type Recipe, stack } from '../../../recipe/index.js'
import { groupedAttention } from '../attention.js'
import { baseKeys, countKey, dimensionsOf, floatKey } from '../base.js'
import { count, countOrNone, finite, listOf, type ModelConfig, size, word } from '../config.js'
import { gatedFeedForward } from '../feed-forward.js'
import { normalQuantile } from '../normal-quantile.js'
import { perLayerInputTensors, perLayerRoles, perLayerTensors } from '../per-layer-inputs.js'
import { blocks, joined, linear, norm, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'
import { windowFlags, windowPattern } from '../windows.js'
import { withoutPrefix } from './gemma.js'

/**
 * What llama.cpp takes for granted, whatever the file says: the first layers whose feed-forward block keeps its largest values only, and the
 * share that it leaves out; the first layers that have keys and values of their own. Source: src/models/gemma3n.cpp of llama.cpp.
 */
const runtime = { sparseLayers: 10, sparsity: 0.95, layersWithKeys: 20 }

/** Gemma 3n: inputs of their own for each layer, alternating updates of four streams (AltUp), learned low-rank residuals (LAuReL). */
export const gemma3n: Family = {
  architecture: 'gemma3n',
  classes: ['Gemma3nForConditionalGeneration', 'Gemma3nForCausalLM'],
  fields: {
    defaults: {
      altup_active_idx: 0,
      altup_num_inputs: 4,
      final_logit_softcapping: 30,
      head_dim: 256,
      hidden_size_per_layer_input: 256,
      laurel_rank: 64,
      max_position_embeddings: 32_768,
      num_attention_heads: 8,
      num_key_value_heads: 2,
      num_kv_shared_layers: 15,
      rms_norm_eps: 1e-6,
      rope_local_base_freq: 10_000,
      rope_theta: 1e6,
      sliding_window: 512,
      tie_word_embeddings: true,
      vocab_size: 262_400,
      vocab_size_per_layer_input: 262_144,
    },
    supported: {
      activation_sparsity_pattern: (value) =>
        Array.isArray(value) && value.every((share, layer) => share === (layer < runtime.sparseLayers ? runtime.sparsity : 0)),
      altup_active_idx: [0],
      altup_correct_scale: [true],
      altup_num_inputs: [4],
      hidden_activation: ['gelu_pytorch_tanh', 'gelu_new', 'gelu_fast'],
      hidden_size_per_layer_input: [256],
      laurel_rank: [64],
      layer_types: windowPattern(5),
      num_kv_shared_layers: (value, { fields }) =>
        value === Math.max(0, Number(fields['num_hidden_layers']) - runtime.layersWithKeys),
      query_pre_attn_scalar: (value, { fields }) => value === fields['head_dim'],
    },
    ignored: [
      'altup_coef_clip',
      'altup_lr_multiplier',
      'audio_soft_tokens_per_image',
      'boa_token_id',
      'cache_implementation',
      'eoa_token_id',
      'vision_soft_tokens_per_image',
    ],
  },
  keys: (config) => {
    const layers = config.get(count, 'num_hidden_layers')
    const types = config.get(listOf(word), 'layer_types')
    const sparsity = config.find(listOf(finite), 'activation_sparsity_pattern') ?? sparsityOf(layers)
    return [
      ...baseKeys(config),
      ...floatKey(config, 'final_logit_softcapping', 'final_logit_softcapping'),
      ...countKey(config, 'attention.sliding_window', 'sliding_window'),
      ...countKey(config, 'altup.active_idx', 'altup_active_idx'),
      ...countKey(config, 'altup.num_inputs', 'altup_num_inputs'),
      ...countKey(config, 'embedding_length_per_layer_input', 'hidden_size_per_layer_input'),
      ...countKey(config, 'attention.shared_kv_layers', 'num_kv_shared_layers'),
      sparsityScales(sparsity),
      windowFlags(types.map((type) => type === 'sliding_attention')),
    ]
  },
  tensors: (config) => {
    const widths = widthsOf(config)
    const dimensions = dimensionsOf(config.with({ intermediate_size: widths[0] }))
    const { layers, hidden, vocabulary, headLength } = dimensions
    const streams = config.get(count, 'altup_num_inputs')
    const rank = config.get(count, 'laurel_rank')
    const perLayer = config.get(size, 'hidden_size_per_layer_input')
    const own = config.get(size, 'vocab_size_per_layer_input')
    return [
      padded('model.embed_tokens.weight', 'token_embd.weight', [vocabulary, hidden], vocabulary),
      padded('model.embed_tokens_per_layer.weight', 'per_layer_token_embd.weight', [own, layers * perLayer], vocabulary),
      ...perLayerTensors(hidden, layers, perLayer),
      norm('model.norm', 'output_norm', hidden),
      ...streamProjections('altup_projections', 'altup_proj', streams, hidden),
      ...streamProjections('altup_unembed_projections', 'altup_unembd_proj', streams, hidden),
      ...blocks('model.layers', layers, (layer) => [
        norm('input_layernorm', 'attn_norm', hidden),
        norm('post_attention_layernorm', 'post_attention_norm', hidden),
        norm('pre_feedforward_layernorm', 'ffn_norm', hidden),
        norm('post_feedforward_layernorm', 'post_ffw_norm', hidden),
        ...groupedAttention(dimensions, { bias: false, headNorm: headLength }),
        ...gatedFeedForward('mlp', hidden, widths[layer] ?? 0, { bias: false }),
        tensor('altup.correct_output_scale', 'altup_correct_scale.weight', [hidden]),
        ...linear('altup.correction_coefs', 'altup_correct_coef', [streams, streams], { bias: false }),
        ...linear('altup.prediction_coefs', 'altup_predict_coef', [streams * streams, streams], { bias: false }),
        ...linear('altup.modality_router', 'altup_router', [streams, hidden], { bias: false }),
        norm('altup.router_norm', 'altup_router_norm', hidden),
        ...linear('laurel.linear_left', 'laurel_l', [rank, hidden], { bias: false }),
        ...linear('laurel.linear_right', 'laurel_r', [hidden, rank], { bias: false }),
        norm('laurel.post_laurel_norm', 'laurel_post_norm', hidden),
        ...perLayerInputTensors(hidden, perLayer),
      ]),
    ]
  },
  roles: perLayerRoles,
  widths: {
    feedForward: false,
    fixed: 'activation sparsity keeps the largest values of a feed-forward block by the mean and standard deviation of all',
  },
  quirks: { alwaysTied: true, adjustTokenizer: withoutPrefix },
}

/** One for each layer, or one for all. */
function widthsOf(config: ModelConfig): readonly number[] {
  const layers = config.get(count, 'num_hidden_layers')
  const written = config.fields['intermediate_size']
  return Array.isArray(written)
    ? config.get(listOf(countOrNone), 'intermediate_size')
    : Array<number>(layers).fill(config.get(size, 'intermediate_size'))
}

/** A share of each layer's activations is set to zero: those below so many deviations above their mean. */
/** What transformers takes where config.json is silent. */
function sparsityOf(layers: number): number[] {
  const sparse = layers > runtime.sparseLayers ? runtime.sparseLayers : 0
  return Array.from({ length: layers }, (_, layer) => (layer < sparse ? runtime.sparsity : 0))
}

function sparsityScales(shares: readonly number[]): Entry {
  const value = shares.map((share) => Math.fround(normalQuantile(Math.fround(share))))
  return ['activation_sparsity_scale', { type: 'array', elementType: 'float32', value }]
}

/** Zeros for the tokens of pictures and sounds, which have no rows. */
function padded(from: string, to: string, shape: readonly [number, number], rows: number): TensorMapping {
  const [own, columns] = shape
  const transform = (input: Recipe): Recipe =>
    own >= rows ? input : concat([input, expand(constant([0], [1, 1]), rows - own, columns, [rows - own, columns])])
  return tensor(from, to, shape, { transform })
}

function streamProjections(from: string, to: string, streams: number, hidden: number): TensorMapping[] {
  const parts = Array.from({ length: streams - 1 }, (_, index) => ({
    name: `model.${from}.${index}.weight`,
    shape: [hidden, hidden],
  }))
  return joined(parts, (recipes) => [{ name: `${to}.weight`, recipe: stack(recipes) }])
}
