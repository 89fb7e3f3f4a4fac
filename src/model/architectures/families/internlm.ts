import { interleaved } from '../attention.js'
import { baseKeys, type Dimensions, dimensionsOf } from '../base.js'
import { flag } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { gatedFeedForward } from '../feed-forward.js'
import { splitGroups } from '../fused-attention.js'
import { llamaDefaults, llamaKeys } from '../llama.js'
import { bool } from '../metadata.js'
import { setTokenIds, tokenId } from '../special-token-ids.js'
import { blocks, linear, norm, split, type TensorMapping } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'

/** Source: configuration_internlm2.py and configuration_internlm3.py beside the models. */
const keyValueHeads: NonNullable<NonNullable<Family['fields']>['derived']> = ({ num_attention_heads: heads }) => ({
  num_key_value_heads: heads,
})

/** InternLM 2 and 2.5: a Llama with one matrix for queries, keys and values, whose rows go by groups of heads. */
export const internlm2: Family = {
  architecture: 'internlm2',
  classes: ['InternLM2ForCausalLM'],
  fields: { defaults: llamaDefaults, derived: keyValueHeads, supported: { bias: [false] } },
  keys: baseKeys,
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    const { layers, hidden, feedForward } = dimensions
    return [
      ...embeddingAndOutputTensors(config, dimensions, { embedding: 'tok_embeddings', output: 'output' }),
      ...blocks('model.layers', layers, () => [
        norm('attention_norm', 'attn_norm', hidden),
        norm('ffn_norm', 'ffn_norm', hidden),
        ...groupedTensors(dimensions),
        ...gatedFeedForward('feed_forward', hidden, feedForward, { bias: false, names: ['w1', 'w3', 'w2'] }),
      ]),
    ]
  },
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding' },
  quirks: { adjustTokenizer },
}

/** InternLM 3: a Llama by another name. */
export const internlm3: Family = {
  architecture: 'llama',
  classes: ['InternLM3ForCausalLM'],
  fields: { defaults: llamaDefaults, derived: keyValueHeads, supported: { bias: [false], qkv_bias: [true, false] } },
  keys: llamaKeys,
  tensors: (config) =>
    decoderTensors(config, { attention: { bias: config.find(flag, 'qkv_bias') === true, outputBias: false, interleave: true } }),
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: {
    adjustTokenizer: (entries, tokenizerConfig) => {
      const prefix = tokenizerConfig?.['add_prefix_space']
      const space: readonly Entry[] = typeof prefix === 'boolean' ? [['tokenizer.ggml.add_space_prefix', bool(prefix)]] : []
      return [...new Map([...entries, ...space])]
    },
  },
}

function groupedTensors({ hidden, heads, keyValueHeads, headLength }: Dimensions): TensorMapping[] {
  const groups = { groups: keyValueHeads, queries: heads / keyValueHeads, headLength }
  return [
    split('attention.wqkv.weight', [(heads + 2 * keyValueHeads) * headLength, hidden], (all) => {
      const [queries, keys, values] = splitGroups(all, groups)
      return [
        { name: 'attn_q.weight', recipe: interleaved(heads)(queries) },
        { name: 'attn_k.weight', recipe: interleaved(keyValueHeads)(keys) },
        { name: 'attn_v.weight', recipe: values },
      ]
    }),
    ...linear('attention.wo', 'attn_output', [hidden, heads * headLength], { bias: false }),
  ]
}

/** ggml's type of tokens that no text contains (enum llama_token_type). */
const unused = 5

/**
 * As the converter's own reader of this vocabulary does: pieces kept for later are unused, and of a chat model, the end of a turn ends the
 * text.
 */
function adjustTokenizer(entries: readonly Entry[]): readonly Entry[] {
  const tokens = entries.find(([key]) => key === 'tokenizer.ggml.tokens')?.[1]
  const isUnused = (id: number): boolean => {
    const token = tokens?.type === 'array' ? tokens.value[id] : undefined
    return typeof token === 'string' && token.startsWith('[UNUSED')
  }
  const typed = entries.map(([key, value]): Entry => {
    if (key !== 'tokenizer.ggml.token_type' || value.type !== 'array') return [key, value]
    return [key, { ...value, value: value.value.map((type, id) => (isUnused(id) ? unused : type)) }]
  })
  const known = typed.filter(([key]) => key !== 'tokenizer.ggml.unknown_token_id')
  const place = known.findIndex(([key]) => key === 'tokenizer.ggml.token_type') + 1
  const prefix: readonly Entry[] = known.some(([key]) => key === 'tokenizer.ggml.add_space_prefix')
    ? []
    : [['tokenizer.ggml.add_space_prefix', bool(true)]]
  return setTokenIds(known.toSpliced(place, 0, ...prefix), { eos: tokenId(entries, '<|im_end|>') })
}
