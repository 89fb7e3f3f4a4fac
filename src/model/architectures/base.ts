import type { MetadataValue } from '../../../formats/gguf/types.js'
import { uint32 } from './metadata.js'

type Key = readonly [string, MetadataValue]

/** What every architecture says of itself with the same keys. An absent value writes no key. */
export interface BaseShape {
  readonly layers: number
  readonly contextLength: number
  readonly hiddenSize: number
  readonly feedForwardLength: number
  readonly heads: number
  readonly keyValueHeads: number
  /** Those that begin with `rope.`, from ropeKeys. */
  readonly rope: readonly Key[]
  readonly rmsNormEpsilon: MetadataValue
  /** Those that begin with `expert_`. */
  readonly experts?: readonly Key[]
  readonly keyLength: number
  readonly valueLength: number
}

/** The common keys, without the `{arch}.` prefix, in the order in which llama.cpp's converter writes them. */
export function baseKeys(shape: BaseShape): Key[] {
  return [
    ['block_count', uint32(shape.layers)],
    ['context_length', uint32(shape.contextLength)],
    ['embedding_length', uint32(shape.hiddenSize)],
    ['feed_forward_length', uint32(shape.feedForwardLength)],
    ['attention.head_count', uint32(shape.heads)],
    ['attention.head_count_kv', uint32(shape.keyValueHeads)],
    ...shape.rope,
    ['attention.layer_norm_rms_epsilon', shape.rmsNormEpsilon],
    ...(shape.experts ?? []),
    ['attention.key_length', uint32(shape.keyLength)],
    ['attention.value_length', uint32(shape.valueLength)],
  ]
}

const basePattern =
  /^(block_count|context_length|embedding_length|feed_forward_length|attention\.(head_count|head_count_kv|layer_norm_rms_epsilon|layer_norm_epsilon|key_length|value_length|causal)|rope\.freq_base(_swa)?|rope\.scaling\.(type|factor|original_context_length|yarn_(ext_factor|attn_factor|beta_fast|beta_slow))|rope\.dimension_sections|expert_(count|used_count|group_count|group_used_count|gating_func))$/

/** Whether a key, without its `{arch}.` prefix, is one of the common ones: general.file_type follows them in llama.cpp's files. */
export function isBaseKey(key: string): boolean {
  return basePattern.test(key)
}
