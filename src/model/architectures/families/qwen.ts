import { baseKeys, type Dimensions, dimensionsOf } from '../base.js'
import { count, type Fields, finite, type ModelConfig } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { float32 } from '../metadata.js'
import { unscaledRope } from '../rope.js'
import { setTokenIds, tokenId } from '../special-token-ids.js'
import { blocks, linear, norm, type TensorMapping } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'

/** Qwen's first models: one matrix with biases for queries, keys and values, a feed-forward part whose width counts gate and up-projection. */
export const qwen: Family = {
  architecture: 'qwen',
  classes: ['QWenLMHeadModel'],
  fields: {
    defaults: { tie_word_embeddings: false },
    supported: {
      ...unscaledRope,
      kv_channels: (value, { fields }) => value === Number(fields['hidden_size']) / Number(fields['num_attention_heads']),
      no_bias: [true],
      rotary_pct: [1],
      use_dynamic_ntk: beyondTraining,
      use_logn_attn: beyondTraining,
    },
    ignored: ['onnx_safe', 'softmax_in_fp32', 'use_cache_kernel', 'use_cache_quantization'],
  },
  keys: (config) => [
    ...baseKeys(config),
    // llama.cpp asks for it, and the converter says that of layer norms alone.
    ['attention.layer_norm_rms_epsilon', float32(config.get(finite, 'layer_norm_epsilon'))],
  ],
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    return [
      ...embeddingAndOutputTensors(config, dimensions, { root: 'transformer.', embedding: 'wte', norm: 'ln_f' }),
      ...blocks('transformer.h', config.get(count, 'num_hidden_layers'), () => layerTensors(dimensions)),
    ]
  },
  widths: {
    feedForward: false,
    fixed: 'llama.cpp takes queries, keys and values to be as wide as it, and feed-forward matrices to be half as wide',
  },
  quirks: { adjustTokenizer },
}

function beyondTraining(value: unknown, { fields }: { readonly fields: Readonly<Record<string, unknown>> }): boolean | string {
  if (value !== true) return true
  const trained = fields['seq_length']
  const limit = typeof trained === 'number' ? `${trained} tokens` : 'the length of its training texts'
  return `llama.cpp does not scale rotations and attention by the length of a text: the model matches the original only up to ${limit}.`
}

function layerTensors({ hidden, feedForward, heads, headLength }: Dimensions): TensorMapping[] {
  const width = feedForward / 2
  const queries = heads * headLength
  return [
    norm('ln_1', 'attn_norm', hidden),
    norm('ln_2', 'ffn_norm', hidden),
    ...linear('attn.c_attn', 'attn_qkv', [3 * queries, hidden], { bias: true }),
    ...linear('attn.c_proj', 'attn_output', [hidden, queries], { bias: false }),
    ...linear('mlp.w2', 'ffn_gate', [width, hidden], { bias: false }),
    ...linear('mlp.w1', 'ffn_up', [width, hidden], { bias: false }),
    ...linear('mlp.c_proj', 'ffn_down', [hidden, width], { bias: false }),
  ]
}

/** As the converter does: `<|endoftext|>` stands for what is unknown, and where nothing else is named, begins and ends a text. */
function adjustTokenizer(entries: readonly Entry[], files: Fields | undefined, { fields }: ModelConfig): readonly Entry[] {
  const end = tokenId(entries, '<|endoftext|>')
  const kinds = ['bos', 'eos', 'pad']
  const named = kinds.some(
    (kind) => typeof fields[`${kind}_token_id`] === 'number' || typeof files?.[`${kind}_token`] === 'string',
  )
  if (named) return setTokenIds(entries, { unknown: end })
  const others = entries.filter(([key]) => !kinds.some((kind) => key === `tokenizer.ggml.${kind}_token_id`))
  return setTokenIds(others, { bos: end, eos: end, unknown: end })
}
