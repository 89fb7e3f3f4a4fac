import { type Dimensions, dimensionsOf } from '../base.js'
import { type Fields, type ModelConfig, size } from '../config.js'
import { biasOf, decoderTensors } from '../decoder.js'
import { withHead, withRoot } from '../embedding-and-output.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { headLength, llamaDefaults, llamaKeys } from '../llama.js'
import { bool } from '../metadata.js'
import { ropeFrequencies } from '../rope.js'
import { type TensorMapping, tensor } from '../tensor-mappings.js'
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
    'LlamaModel',
    'IQuestCoderForCausalLM',
    'LlavaForConditionalGeneration',
    'VLlama3ForCausalLM',
    'VoxtralForConditionalGeneration',
    'JanusForConditionalGeneration',
    'Sarashina2VisionForCausalLM',
  ],
  fields: {
    defaults: llamaDefaults,
    // transformers does not know the first.
    classDefaults: {
      VLlama3ForCausalLM: { num_attention_heads: 32, rope_theta: undefined },
      MistralForCausalLM: mistralDefaults,
      MixtralForCausalLM: { ...mistralDefaults, ...mixtralDefaults },
    },
    // transformers does not know the last two, and works nothing out for them.
    derived: (fields, className) =>
      ['MixtralForCausalLM', 'Sarashina2VisionForCausalLM', 'VLlama3ForCausalLM'].includes(className) ? {} : headLength(fields),
    ropeKinds: ['llama3'],
  },
  keys: llamaKeys,
  tensors: (config) => {
    const { layers, headLength: length } = dimensionsOf(config)
    if (length % 2 !== 0) throw config.invalid(`head_dim is ${length}, which is odd`)
    const experts = boundedExperts(config, layers)
    const bias = biasOf(config, 'mlp_bias')
    return decoderTensors(withHead(config), {
      attention: { bias: biasOf(config, 'attention_bias'), interleave: true },
      feedForward: (dimensions) =>
        experts > 0
          ? mixtralExperts(experts, dimensions)
          : gatedFeedForward('mlp', dimensions.hidden, dimensions.feedForward, { bias }),
    })
  },
  footprint: { attention: 'grouped', normalizedExperts: true },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: {
    rename: (name, config) =>
      config.className === 'Sarashina2VisionForCausalLM'
        ? ofSarashina(name)
        : withRoot(ofMixtral(name.replace('text_model.', ''))),
    leaveOut: (name) =>
      /^(visual\.norm|model\.(aligner|vqmodel|generation_\w+))\./.test(name)
        ? 'of image understanding and generation: the GGUF file holds the text model only'
        : undefined,
    isSeventyBillion: (layers, heads, keyValueHeads) => layers === 80 && heads !== keyValueHeads,
    computed: (config) => ropeFrequencies(config, dimensionsOf(config).headLength),
    adjustTokenizer,
  },
}

/** Llama that attends both ways, for embeddings. */
export const llamaEmbed: Family = {
  ...llama,
  architecture: 'llama-embed',
  classes: ['LlamaBidirectionalModel'],
  footprint: undefined,
}

/** transformers 5 has another name for what holds the experts, which it keeps with save_original_format=False. */
function ofMixtral(name: string): string {
  return name.replace(/\.mlp\.(?=gate\.|experts\.)/, '.block_sparse_moe.')
}

/** Its text model lies within another, beside a norm of the part that sees. */
function ofSarashina(name: string): string {
  return name.startsWith('norm.') ? `visual.${name}` : name.replace(/^llm\./, '')
}

/** w1 is the gate, w2 the down-projection, w3 the up-projection. */
function mixtralExperts(experts: number, { hidden, feedForward: width }: Dimensions): TensorMapping[] {
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
  return config.get(size, 'vocab_size') === 49_152
    ? [...new Map([...spaced, ['tokenizer.ggml.add_bos_token', bool(false)]])]
    : spaced
}
