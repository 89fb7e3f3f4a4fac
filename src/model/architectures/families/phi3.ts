import { countKey, dimensionsOf, fileTypePlace, floatKey, names } from '../base.js'
import { windowNote } from '../check-config-fields.js'
import { count, type Fields, type ModelConfig, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, routedExperts } from '../feed-forward.js'
import { float32, uint32 } from '../metadata.js'
import { longRopeFactors, rotatedPart } from '../rope.js'
import { layerNorm, linear, tensor } from '../tensor-mappings.js'
import { type Entry, type Family, type FieldTable, layerNorms } from '../types.js'

const ignored = ['full_attn_mod']
const fields: FieldTable = {
  defaults: {
    max_position_embeddings: 4096,
    original_max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    tie_word_embeddings: false,
  },
  derived: ({ num_attention_heads: heads }: Fields): Fields => ({ num_key_value_heads: heads }),
  ropeKinds: ['su', 'longrope'],
  supported: {
    // llama.cpp reads the window of these models, and leaves it out.
    sliding_window: windowNote,
    head_dim: (value, { fields }) => value === Number(fields['hidden_size']) / Number(fields['num_attention_heads']),
  },
}

/** Phi-3, 3.5 and 4: queries, keys and values in one matrix, gate and up-projection in another. */
export const phi3: Family = {
  architecture: 'phi3',
  classes: ['Phi3ForCausalLM', 'Phi4ForCausalLMV'],
  fields: { ...fields, ignored },
  keys: phiKeys,
  tensors: (config) =>
    decoderTensors(config, {
      attention: ({ hidden, heads, keyValueHeads, headLength }) => [
        ...linear('self_attn.qkv_proj', 'attn_qkv', [(heads + 2 * keyValueHeads) * headLength, hidden], { bias: false }),
        ...linear('self_attn.o_proj', 'attn_output', [hidden, heads * headLength], { bias: false }),
      ],
      feedForward: ({ hidden, feedForward }) => [
        ...linear('mlp.gate_up_proj', 'ffn_up', [2 * feedForward, hidden], { bias: false }),
        ...linear('mlp.down_proj', 'ffn_down', [hidden, feedForward], { bias: false }),
      ],
    }),
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding' },
  quirks: {
    computed: (config) => longRopeFactors(config, rotatedLength(config)),
    firstKeys: attentionFactor,
    preNames: { 'llama-bpe': 'dbrx' },
  },
}

/** Phi-3.5 MoE: queries, keys and values apart, norms and the output matrix with biases. */
export const phimoe: Family = {
  architecture: 'phimoe',
  classes: ['PhiMoEForCausalLM'],
  fields: {
    ...fields,
    supported: {
      ...fields.supported,
      attention_bias: [true],
      lm_head_bias: [true],
      router_jitter_noise: (value) =>
        value === 0 ||
        'The model chooses and weights its experts by SparseMixer (router_jitter_noise), and llama.cpp by a softmax: outputs differ.',
      'rope.short_mscale': () => true,
      'rope.long_mscale': (value, { rope }) =>
        value === rope['short_mscale'] ||
        'Beyond its original context the model scales attention by long_mscale; llama.cpp has a single factor, and short_mscale is used.',
    },
    ignored: [...ignored, 'input_jitter_noise'],
  },
  keys: (config) => [
    ...phiKeys(config),
    ...countKey(config, 'expert_used_count', ...names.expertsUsed),
    ...countKey(config, 'expert_count', ...names.experts),
  ],
  tensors: (config) => {
    const { layers, hidden, vocabulary } = dimensionsOf(config)
    const experts = boundedExperts(config, layers)
    return [
      ...decoderTensors(config, {
        normBias: true,
        norms: () => [
          ...layerNorm('input_layernorm', 'attn_norm', hidden),
          ...layerNorm('post_attention_layernorm', 'ffn_norm', hidden),
        ],
        attention: { bias: true },
        feedForward: ({ feedForward }) => [
          tensor('block_sparse_moe.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
          ...routedExperts('block_sparse_moe.experts', experts, hidden, feedForward, {
            names: ['w1', 'w3', 'w2'],
            order: ['gate', 'down', 'up'],
          }),
        ],
      }),
      tensor('lm_head.bias', 'output.bias', [vocabulary]),
    ]
  },
  widths: { feedForward: true, fixed: layerNorms },
  quirks: { computed: (config) => longRopeFactors(config, rotatedLength(config)), firstKeys: attentionFactor },
}

/** Neither family begins with the common keys. */
function phiKeys(config: ModelConfig): Entry[] {
  return [
    ...countKey(config, 'context_length', 'n_positions', 'max_position_embeddings'),
    ['rope.scaling.original_context_length', uint32(originalContext(config))],
    ...countKey(config, 'embedding_length', ...names.hidden),
    ...countKey(config, 'feed_forward_length', 'intermediate_size'),
    ...countKey(config, 'block_count', ...names.layers),
    ...countKey(config, 'attention.head_count', ...names.heads),
    ...countKey(config, 'attention.head_count_kv', ...names.keyValueHeads),
    ...floatKey(config, 'attention.layer_norm_rms_epsilon', 'rms_norm_eps'),
    ['rope.dimension_count', uint32(rotatedLength(config))],
    ['rope.freq_base', float32(config.rope.theta ?? 10_000)],
    fileTypePlace,
    // 0 tells Phi-4 from the others.
    ['attention.sliding_window', uint32(config.find(size, 'sliding_window') ?? 0)],
  ]
}

function originalContext(config: ModelConfig): number {
  return config.rope.original_max_position_embeddings ?? config.get(size, 'original_max_position_embeddings')
}

function rotatedLength(config: ModelConfig): number {
  const hidden = config.get(size, ...names.hidden)
  return Math.floor(Math.trunc((rotatedPart(config) ?? 1) * hidden) / config.get(count, ...names.heads))
}

/** What attention is scaled by beyond the original context. @throws MqError CONFIG_INVALID. */
function attentionFactor(config: ModelConfig): Entry[] {
  const { rope } = config
  if (rope.long_factor === undefined || rope.long_factor === null) return []
  const original = originalContext(config)
  const scale = config.get(size, 'n_positions', 'max_position_embeddings') / original
  const given = rope['short_mscale'] ?? rope.attention_factor
  if (typeof given === 'number') return [['rope.scaling.attn_factor', float32(given)]]
  const factor =
    scale <= 1 ? 1 : rope.kind === 'yarn' ? 0.1 * Math.log(scale) + 1 : Math.sqrt(1 + Math.log(scale) / Math.log(original))
  return [['rope.scaling.attn_factor', float32(factor)]]
}
