import type { Metadata } from '../../formats/gguf/index.js'
import { type Blueprint, familyOfArchitecture } from '../model/index.js'

/** Each key and value head of its own or shared by several query heads (MHA, GQA, MQA). */
export interface GroupedAttention {
  readonly kind: 'grouped'
  readonly heads: number
  readonly keyValueHeads: number
  readonly keyLength: number
  readonly valueLength: number
}

/** Multi-head latent attention with the key and value projections absorbed: one latent vector for all heads. */
export interface LatentAttention {
  readonly kind: 'latent'
  readonly heads: number
  readonly latent: number
  readonly rotated: number
  /** Of a head's query, without the rotated part. */
  readonly plain: number
  readonly valueLength: number
  /** Width of the queries' low-rank way; absent where they are projected at once. */
  readonly queryLatent?: number
}

/** Dimensions of mixture-of-experts layers. */
export interface ExpertLayers {
  readonly count: number
  readonly used: number
  readonly width: number
  /** Of the shared experts together; 0 where there are none. */
  readonly sharedWidth: number
  /** Groups that experts are chosen from; 1 where there are none. */
  readonly groups: number
  readonly groupsUsed: number
  /** Whether a bias takes part in the choice. */
  readonly biased: boolean
  readonly gating: 'softmax' | 'sigmoid'
  /** Whether the chosen experts' weights are made to sum to 1. */
  readonly normalized: boolean
  readonly scaled: boolean
}

/** Dimensions of a model that its memory depends on, besides its weights. */
export interface ModelShape {
  readonly layers: number
  readonly hidden: number
  readonly vocabulary: number
  readonly attention: GroupedAttention | LatentAttention
  /** Width of dense layers. */
  readonly feedForward: number
  /** Kind of dense feed-forward layers: gate and up-projection, both in one matrix, or no gate. */
  readonly gating: 'apart' | 'fused' | 'none'
  /** Whether queries, keys and values are projected by one matrix. */
  readonly fusedQueries: boolean
  /** Steps of a norm after values are normalized: multiplied by a weight, a bias added. LayerNorm needs memory of its own, RMSNorm none. */
  readonly norm: { readonly kind: 'rms' | 'layer'; readonly steps: number }
  /** Whether attention and feed-forward part are parallel: both read the same input. */
  readonly parallel: boolean
  readonly experts?: ExpertLayers
  /** Whether a layer has routed experts. */
  hasExperts(layer: number): boolean
}

/** llama.cpp's own limit (LLAMA_MAX_EXPERTS is 512). */
const maxUsedExperts = 512

/** llama.cpp's number for a sigmoid in `expert_gating_func`. */
const sigmoid = 2

/** Keys whose presence means that a model keeps more or less than keys and values of all tokens, or computes them otherwise. */
const notModelled =
  /\.(attention\.sliding_window|attention\.chunk_size|attention\.indexer\..*|ssm\..*|wkv\..*|shortconv\..*|nextn_predict_layers)$/

/**
 * The shape of a model, from the metadata and tensors of its GGUF; undefined where its family has no footprint, or its metadata do not
 * say it: layers that differ from each other, a sliding window, a recurrent state.
 */
export function modelShape({ architecture, layers, metadata, tensors }: Blueprint): ModelShape | undefined {
  const traits = familyOfArchitecture(architecture)?.footprint
  if (traits === undefined) return undefined
  const number = (key: string): number | undefined => numberOf(metadata, `${architecture}.${key}`)
  if ([...metadata].some(([key, entry]) => notModelled.test(key) && entry.value !== 0)) return undefined
  if (layered.some((key) => metadata.get(`${architecture}.${key}`)?.type === 'array')) return undefined
  const embedding = tensors.find(({ role }) => role === 'embedding')
  const hidden = number('embedding_length') ?? embedding?.shape[1]
  const vocabulary = embedding?.shape[0]
  const heads = number('attention.head_count')
  if (hidden === undefined || vocabulary === undefined || heads === undefined) return undefined
  // The graph is built layer by layer: not for layers that cannot be there.
  if (layers < 1 || layers > tensors.length) return undefined
  const attention = attentionShape(number, heads, hidden)
  if (attention?.kind !== traits.attention) return undefined
  const withExperts = new Set(tensors.filter(({ role }) => role === 'expert-down').map(({ layer }) => layer))
  const biased = tensors.some(({ name }) => name.includes('exp_probs_b'))
  const dense = tensors.filter(({ role }) => role === 'ffn-down').map(({ shape }) => shape.at(-1) ?? 0)
  const width = dense.reduce((most, width) => Math.max(most, width), 0)
  const up = tensors.find(({ role }) => role === 'ffn-up')?.shape[0]
  const gate = tensors.some(({ role }) => role === 'ffn-gate')
  const has = (suffix: string): boolean => tensors.some(({ name }) => name.endsWith(suffix))
  const shared = tensors.find(({ role }) => role === 'shared-expert-down')?.shape.at(-1) ?? 0
  const expert = tensors.find(({ role }) => role === 'expert-down')?.shape
  const count = expert?.[0]
  const used = Math.min(count ?? 0, number('expert_used_count') ?? count ?? 0)
  if (used > maxUsedExperts) return undefined
  return {
    layers,
    hidden,
    vocabulary,
    attention,
    feedForward: width,
    gating: gate ? 'apart' : up === 2 * width ? 'fused' : 'none',
    fusedQueries: tensors.some(({ role }) => role === 'attention-qkv'),
    norm: {
      kind: number('attention.layer_norm_epsilon') === undefined ? 'rms' : 'layer',
      steps: Number(has('attn_norm.weight')) + Number(has('attn_norm.bias')),
    },
    parallel: traits.parallel === 'without-norm' ? !has('ffn_norm.weight') : (traits.parallel ?? false),
    ...(expert !== undefined &&
      count !== undefined && {
        experts: {
          count,
          used,
          width: expert.at(-1) ?? 0,
          sharedWidth: shared,
          groups: number('expert_group_count') ?? 1,
          groupsUsed: number('expert_group_used_count') ?? 1,
          biased,
          gating: number('expert_gating_func') === sigmoid ? 'sigmoid' : 'softmax',
          normalized:
            traits.normalizedExperts === 'key'
              ? metadata.get(`${architecture}.expert_weights_norm`)?.value === true
              : (traits.normalizedExperts ?? false),
          scaled: ![0, 1].includes(number('expert_weights_scale') ?? 0),
        } as const,
      }),
    hasExperts: (layer) => withExperts.has(layer),
  }
}

function attentionShape(
  number: (key: string) => number | undefined,
  heads: number,
  hidden: number,
): ModelShape['attention'] | undefined {
  const keyLength = number('attention.key_length') ?? Math.floor(hidden / heads)
  const valueLength = number('attention.value_length') ?? keyLength
  const latent = number('attention.kv_lora_rank')
  const headKey = number('attention.key_length_mla')
  const headValue = number('attention.value_length_mla')
  if (latent !== undefined) {
    const rotated = number('rope.dimension_count')
    // Files from before llama.cpp absorbed the projections run another way, which takes more memory.
    if (headKey === undefined || headValue === undefined || rotated === undefined) return undefined
    const queryLatent = number('attention.q_lora_rank')
    return {
      kind: 'latent',
      heads,
      latent,
      rotated,
      plain: headKey - rotated,
      valueLength: headValue,
      queryLatent,
    }
  }
  return { kind: 'grouped', heads, keyValueHeads: number('attention.head_count_kv') ?? heads, keyLength, valueLength }
}

/** Keys that a file may have with one value for each layer. */
const layered = ['attention.head_count', 'attention.head_count_kv', 'feed_forward_length', 'expert_count', 'expert_used_count']

function numberOf(metadata: Metadata, key: string): number | undefined {
  const value = metadata.get(key)?.value
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}
