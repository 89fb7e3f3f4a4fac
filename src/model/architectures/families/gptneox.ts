import { countKey, dimensionsOf, floatKey } from '../base.js'
import { flag, type ModelConfig } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { regroup } from '../fused-attention.js'
import { bool, uint32 } from '../metadata.js'
import { plainFeedForward } from '../plain-feed-forward.js'
import { plainRope, rotatedPart } from '../rope.js'
import { blocks, layerNorm, linear } from '../tensor-mappings.js'
import { type Family, layerNorms } from '../types.js'

/** GPT-NeoX and Pythia: a part of each head rotated, attention and feed-forward side by side in most. */
export const gptneox: Family = {
  architecture: 'gptneox',
  classes: ['GPTNeoXForCausalLM'],
  fields: {
    defaults: {
      layer_norm_eps: 1e-5,
      max_position_embeddings: 2048,
      rotary_emb_base: 10_000,
      rotary_pct: 0.25,
      tie_word_embeddings: false,
    },
    // llama.cpp computes GELU by its approximation for all.
    supported: { ...plainRope, attention_bias: [true], hidden_act: ['gelu', 'gelu_new', 'gelu_fast', 'gelu_pytorch_tanh'] },
  },
  keys: (config) => [
    ...countKey(config, 'context_length', 'max_position_embeddings'),
    ...countKey(config, 'embedding_length', 'hidden_size'),
    ...countKey(config, 'block_count', 'num_hidden_layers'),
    ...countKey(config, 'feed_forward_length', 'intermediate_size'),
    ['rope.dimension_count', uint32(rotatedLength(config))],
    ...countKey(config, 'attention.head_count', 'num_attention_heads'),
    ['use_parallel_residual', bool(config.find(flag, 'use_parallel_residual') ?? true)],
    ...floatKey(config, 'attention.layer_norm_epsilon', 'layer_norm_eps'),
  ],
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    const { layers, hidden, feedForward, heads, headLength } = dimensions
    const fused = { transform: (rows: Parameters<typeof regroup>[0]) => regroup(rows, { groups: heads, queries: 1, headLength }) }
    return [
      ...embeddingAndOutputTensors(config, dimensions, {
        root: 'gpt_neox.',
        embedding: 'embed_in',
        norm: 'final_layer_norm',
        normBias: true,
        output: 'embed_out',
      }),
      ...blocks('gpt_neox.layers', layers, () => [
        ...layerNorm('input_layernorm', 'attn_norm', hidden),
        ...layerNorm('post_attention_layernorm', 'ffn_norm', hidden),
        ...linear('attention.query_key_value', 'attn_qkv', [3 * hidden, hidden], { bias: true, ...fused }),
        ...linear('attention.dense', 'attn_output', [hidden, hidden]),
        ...plainFeedForward('mlp', hidden, feedForward, { bias: true, names: ['dense_h_to_4h', 'dense_4h_to_h'] }),
      ]),
    ]
  },
  widths: { feedForward: true, fixed: layerNorms },
  quirks: { needsOutput: true },
}

function rotatedLength(config: ModelConfig): number {
  const { hidden, heads } = dimensionsOf(config)
  return Math.trunc((rotatedPart(config) ?? 0.25) * Math.floor(hidden / heads))
}
