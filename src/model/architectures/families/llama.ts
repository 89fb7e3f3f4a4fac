import { groupedAttention } from '../attention.js'
import { baseKeys, type Dimensions, dimensionsOf } from '../base.js'
import { type Fields, flag, type ModelConfig, size } from '../config.js'
import { endRows } from '../ends.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { bool, uint32 } from '../metadata.js'
import { ropeFrequencies } from '../rope.js'
import { blocks, norm, type Row, tensor } from '../rows.js'
import type { Entry, Family } from '../types.js'

/** Source: MistralConfig and MixtralConfig of transformers. */
const mistralDefaults = { max_position_embeddings: 131_072, num_key_value_heads: 8 }
const mixtralDefaults = { rms_norm_eps: 1e-5, rope_theta: 1e6, num_local_experts: 8, num_experts_per_tok: 2 }

/** Llama and those that share its layout to the last tensor, Mixtral's experts among them. */
export const llama: Family = {
  architecture: 'llama',
  classes: [
    'LlamaForCausalLM',
    'LLaMAForCausalLM',
    'MistralForCausalLM',
    'MixtralForCausalLM',
    'IQuestCoderForCausalLM',
    'LlamaModel',
  ],
  fields: {
    defaults: { max_position_embeddings: 2048, rms_norm_eps: 1e-6, rope_theta: 10_000, tie_word_embeddings: false },
    classDefaults: { MistralForCausalLM: mistralDefaults, MixtralForCausalLM: { ...mistralDefaults, ...mixtralDefaults } },
    derived: (fields, className) => (className === 'MixtralForCausalLM' ? {} : headLength(fields)),
    ropeKinds: ['llama3'],
  },
  keys: (config) => [
    ...baseKeys(config),
    ['vocab_size', uint32(config.get(size, 'vocab_size'))],
    ['rope.dimension_count', uint32(dimensionsOf(config).headLength)],
  ],
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    const { layers, hidden, headLength: length } = dimensions
    if (length % 2 !== 0) throw config.invalid(`head_dim is ${length}, which is odd`)
    const root = config.className === 'LlamaModel' ? '' : 'model.'
    const experts = boundedExperts(config, layers)
    return [
      ...endRows(config, dimensions, { root }),
      ...blocks(`${root}layers`, layers, () => [
        norm('input_layernorm', 'attn_norm', hidden),
        norm('post_attention_layernorm', 'ffn_norm', hidden),
        ...groupedAttention(dimensions, { bias: biasOf(config, 'attention_bias'), interleave: true }),
        ...(experts > 0 ? mixtralExperts(experts, dimensions) : feedForward(config, dimensions)),
      ]),
    ]
  },
  footprint: { attention: 'grouped', normalizedExperts: true },
  quirks: {
    isSeventyBillion: (layers, heads, keyValueHeads) => layers === 80 && heads !== keyValueHeads,
    computed: (config) => ropeFrequencies(config, dimensionsOf(config).headLength),
    adjustTokenizer,
  },
}

/** What transformers works out where config.json leaves it open or says null. */
export function headLength({ hidden_size: hidden, num_attention_heads: heads }: Fields): Fields {
  return {
    num_key_value_heads: heads,
    ...(typeof hidden === 'number' && typeof heads === 'number' && heads > 0 && { head_dim: Math.floor(hidden / heads) }),
  }
}

/** llama.cpp adds a bias wherever there is one; where config.json asks for it, there must be one. */
function biasOf(config: ModelConfig, field: string): true | 'optional' {
  return config.find(flag, field) === true ? true : 'optional'
}

function feedForward(config: ModelConfig, { hidden, feedForward: width }: Dimensions): Row[] {
  return gatedFeedForward('mlp', hidden, width, { bias: biasOf(config, 'mlp_bias') })
}

/** w1 is the gate, w2 the down-projection, w3 the up-projection. */
function mixtralExperts(experts: number, { hidden, feedForward: width }: Dimensions): Row[] {
  return [
    tensor('block_sparse_moe.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    ...routedExperts('block_sparse_moe.experts', experts, hidden, width, {
      names: ['w1', 'w3', 'w2'],
      order: ['gate', 'down', 'up'],
    }),
  ]
}

/** What llama.cpp's converter adds for all classes that it derives from Llama's. */
export function adjustTokenizer(
  entries: readonly Entry[],
  tokenizerConfig: Fields | undefined,
  config: ModelConfig,
): readonly Entry[] {
  const prefix = tokenizerConfig?.['add_prefix_space']
  const spaced: readonly Entry[] =
    typeof prefix === 'boolean' ? [['tokenizer.ggml.add_space_prefix', bool(prefix)], ...entries] : entries
  // llama.cpp's converter knows the small Granite models (and so SmolLM) by this number alone.
  return config.fields['vocab_size'] === 49_152
    ? [...new Map([...spaced, ['tokenizer.ggml.add_bos_token', bool(false)]])]
    : spaced
}
