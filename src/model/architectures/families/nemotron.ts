import { plusOne } from '../attention.js'
import { baseKeys, countKey, dimensionsOf, floatKey } from '../base.js'
import { finite, type ModelConfig } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { float32, text, uint32 } from '../metadata.js'
import { plainFeedForward } from '../plain-feed-forward.js'
import { rotatedPart } from '../rope.js'
import { norm, type TensorMapping, tensor } from '../tensor-mappings.js'
import { type Entry, type Family, layerNorms } from '../types.js'

/** Nemotron 3 8B, 4 and Minitron, dense: layer norms that multiply by 1 + weight, a squared ReLU, a part of each head rotated. */
export const nemotron: Family = {
  architecture: 'nemotron',
  classes: ['NemotronForCausalLM'],
  fields: {
    defaults: {
      max_position_embeddings: 4096,
      norm_eps: 1e-5,
      partial_rotary_factor: 0.5,
      rope_theta: 10_000,
      tie_word_embeddings: false,
    },
    derived: ({ num_attention_heads: heads, hidden_size: hidden }) => ({
      num_key_value_heads: heads,
      head_dim: Math.floor(Number(hidden) / Number(heads)),
    }),
    supported: { hidden_act: ['relu2'] },
  },
  keys: (config) => [
    ...baseKeys(config),
    ...countKey(config, 'vocab_size', 'vocab_size'),
    ...floatKey(config, 'attention.layer_norm_epsilon', 'layer_norm_eps', 'layer_norm_epsilon', 'norm_epsilon', 'norm_eps'),
    ['rope.dimension_count', uint32(rotatedLength(config))],
    ...scaling(config),
  ],
  tensors: (config) =>
    decoderTensors(config, {
      normTransform: { transform: plusOne },
      norms: ({ hidden }) => [
        ...shifted('input_layernorm', 'attn_norm', hidden),
        ...shifted('post_attention_layernorm', 'ffn_norm', hidden),
      ],
      feedForward: ({ hidden, feedForward }) => plainFeedForward('mlp', hidden, feedForward),
    }).concat(tensor('model.norm.bias', 'output_norm.bias', [dimensionsOf(config).hidden])),
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, fixed: layerNorms },
  quirks: { adjustTokenizer, needsOutput: true, headsFillEmbedding: true },
}

/** The weight is one less than what multiplies; the bias is what it is. */
function shifted(from: string, to: string, length: number): TensorMapping[] {
  return [norm(from, to, length, { transform: plusOne }), tensor(`${from}.bias`, `${to}.bias`, [length])]
}

function rotatedLength(config: ModelConfig): number {
  const { hidden, heads } = dimensionsOf(config)
  return Math.floor(Math.trunc((rotatedPart(config) ?? 0.5) * hidden) / heads)
}

function scaling(config: ModelConfig): Entry[] {
  const factor = config.find(finite, 'factor') ?? config.rope.factor ?? undefined
  if (factor === undefined) return [['rope.scaling.type', text('none')]]
  return [
    ['rope.scaling.type', text('linear')],
    ['rope.scaling.factor', float32(factor)],
  ]
}

/** llama.cpp's converter sets both whatever the tokenizer says. */
function adjustTokenizer(entries: readonly Entry[]): readonly Entry[] {
  const ids: readonly Entry[] = [
    ['tokenizer.ggml.padding_token_id', uint32(0)],
    ['tokenizer.ggml.unknown_token_id', uint32(1)],
  ]
  return [...new Map([...entries, ...ids])]
}
