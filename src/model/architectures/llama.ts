import * as v from 'valibot'
import { constant, interleaveHalves, type Recipe } from '../../recipe/index.js'
import type { Checkpoint } from '../checkpoint/index.js'
import { baseKeys } from './base.js'
import { configError, count, parseConfig, positive, size } from './config.js'
import { bool, float32, uint32 } from './metadata.js'
import { llama3Factors, readRope, ropeFields, ropeKeys } from './rope.js'
import { isComputedBuffer, silently, tensorTable } from './tensor-table.js'
import type { Entry, Family, Model } from './types.js'

const schema = v.object({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: v.nullish(count),
  head_dim: v.nullish(count),
  rms_norm_eps: v.nullish(positive),
  attention_bias: v.nullish(v.boolean()),
  mlp_bias: v.nullish(v.boolean()),
  tie_word_embeddings: v.nullish(v.boolean()),
  ...ropeFields,
})

/** What transformers fills in where config.json is silent. Source: LlamaConfig, MistralConfig. */
const defaults = {
  LlamaForCausalLM: { contextLength: 2048, keyValueHeads: undefined },
  MistralForCausalLM: { contextLength: 131_072, keyValueHeads: 8 },
} as const

/** Llama and those that share its layout to the last tensor. */
export const llama: Family = {
  classes: Object.keys(defaults),
  describe: describeLlama,
}

function describeLlama(checkpoint: Checkpoint, className: string): Model {
  const config = parseConfig(schema, checkpoint)
  const fallback = defaults[className as keyof typeof defaults]
  const { hidden_size: hidden, num_attention_heads: heads, num_hidden_layers: layers } = config
  const keyValueHeads =
    config.num_key_value_heads ?? (config.num_key_value_heads === undefined ? fallback.keyValueHeads : undefined) ?? heads
  const headLength = config.head_dim ?? Math.floor(hidden / heads)
  if (headLength % 2 !== 0) throw configError(checkpoint, `head_dim is ${headLength}, which is odd`)
  const notes: string[] = []
  const rope = readRope(config)
  return {
    architecture: 'llama',
    layers,
    experts: 0,
    vocabularySize: config.vocab_size,
    keys: [
      ...baseKeys({
        layers,
        contextLength: config.max_position_embeddings ?? fallback.contextLength,
        hiddenSize: hidden,
        feedForwardLength: config.intermediate_size,
        heads,
        keyValueHeads,
        rope: ropeKeys(rope, checkpoint, notes),
        rmsNormEpsilon: float32(config.rms_norm_eps ?? 1e-6),
        keyLength: headLength,
        valueLength: headLength,
      }),
      ['vocab_size', uint32(config.vocab_size)],
      ['rope.dimension_count', uint32(headLength)],
    ],
    expected: llamaTensors(config, { heads, keyValueHeads, headLength }),
    computed: rope.kind === 'llama3' ? [{ name: 'rope_freqs.weight', recipe: constant(llama3Factors(rope, headLength)) }] : [],
    leaveOut: (name) => (isComputedBuffer(name) ? silently : undefined),
    adjustTokenizer: (entries, tokenizerConfig) => adjustTokenizer(entries, tokenizerConfig, config.vocab_size),
    notes,
  }
}

function adjustTokenizer(
  entries: readonly Entry[],
  tokenizerConfig: Readonly<Record<string, unknown>> | undefined,
  vocabularySize: number,
): readonly Entry[] {
  const prefix = tokenizerConfig?.['add_prefix_space']
  const spaced: readonly Entry[] =
    typeof prefix === 'boolean' ? [['tokenizer.ggml.add_space_prefix', bool(prefix)], ...entries] : entries
  // llama.cpp's converter knows the small Granite models (and so SmolLM) by this number alone.
  return vocabularySize === 49_152 ? [...new Map([...spaced, ['tokenizer.ggml.add_bos_token', bool(false)]])] : spaced
}

function llamaTensors(
  config: v.InferOutput<typeof schema>,
  { heads, keyValueHeads, headLength }: { heads: number; keyValueHeads: number; headLength: number },
): Model['expected'] {
  const { vocab_size: vocabulary, hidden_size: hidden, intermediate_size: feedForward } = config
  const table = tensorTable()
  const addLinear = (
    from: string,
    to: string,
    [rows, columns]: readonly [number, number],
    bias: boolean,
    transform = (input: Recipe): Recipe => input,
  ): void => {
    table.add(`${from}.weight`, `${to}.weight`, [rows, columns], { transform })
    // llama.cpp adds a bias wherever there is one, whatever config.json says.
    table.add(`${from}.bias`, `${to}.bias`, [rows], { transform, optional: !bias })
  }
  table.add('model.embed_tokens.weight', 'token_embd.weight', [vocabulary, hidden])
  table.add('model.norm.weight', 'output_norm.weight', [hidden])
  table.add('lm_head.weight', 'output.weight', [vocabulary, hidden], { optional: config.tie_word_embeddings === true })
  const attentionBias = config.attention_bias === true
  const feedForwardBias = config.mlp_bias === true
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const from = `model.layers.${layer}`
    const to = `blk.${layer}`
    const queries = heads * headLength
    const keys = keyValueHeads * headLength
    table.add(`${from}.input_layernorm.weight`, `${to}.attn_norm.weight`, [hidden])
    table.add(`${from}.post_attention_layernorm.weight`, `${to}.ffn_norm.weight`, [hidden])
    // ggml turns neighbours, transformers turns halves of a head.
    addLinear(`${from}.self_attn.q_proj`, `${to}.attn_q`, [queries, hidden], attentionBias, (q) => interleaveHalves(q, heads))
    addLinear(`${from}.self_attn.k_proj`, `${to}.attn_k`, [keys, hidden], attentionBias, (k) =>
      interleaveHalves(k, keyValueHeads),
    )
    addLinear(`${from}.self_attn.v_proj`, `${to}.attn_v`, [keys, hidden], attentionBias)
    addLinear(`${from}.self_attn.o_proj`, `${to}.attn_output`, [hidden, queries], attentionBias)
    addLinear(`${from}.mlp.gate_proj`, `${to}.ffn_gate`, [feedForward, hidden], feedForwardBias)
    addLinear(`${from}.mlp.up_proj`, `${to}.ffn_up`, [feedForward, hidden], feedForwardBias)
    addLinear(`${from}.mlp.down_proj`, `${to}.ffn_down`, [hidden, feedForward], feedForwardBias)
  }
  return table.expected
}
