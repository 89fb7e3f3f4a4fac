import { alignUp } from '../align-up.js'
import { defaultAlignment } from './arithmetic.js'
import type { Metadata, MetadataValue } from './types.js'

/** The keys that say which part of a split model a file is. Source: gguf-split of llama.cpp v0.5.0 (LLM_KV_SPLIT_*). */
export const splitKeys = { index: 'split.no', count: 'split.count', tensors: 'split.tensors.count' } as const

/**
 * The file name of a shard as llama.cpp expects it: `stem-00001-of-00003.gguf`.
 * @param index counted from 0, while the name counts from 1.
 */
export function shardName(stem: string, index: number, count: number): string {
  const digits = (value: number): string => String(value).padStart(5, '0')
  return `${stem}-${digits(index + 1)}-of-${digits(count)}.gguf`
}

/** Reads a shard's file name or path; undefined where it is not one. The index counts from 0, and the stem keeps its folders. */
export function parseShardName(name: string): { stem: string; index: number; count: number } | undefined {
  const match = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/s.exec(name)
  if (match === null) return undefined
  const [stem, number, count] = [match[1] as string, Number(match[2]), Number(match[3])]
  return number >= 1 && number <= count ? { stem, index: number - 1, count } : undefined
}

/** The metadata of one shard: the model's own stands in the first, the others carry only the split keys. */
export function shardMetadata(metadata: Metadata, index: number, count: number, tensorCount: number): Metadata {
  return new Map<string, MetadataValue>([
    ...(index === 0 ? metadata : []),
    [splitKeys.index, { type: 'uint16', value: index }],
    [splitKeys.count, { type: 'uint16', value: count }],
    [splitKeys.tensors, { type: 'int32', value: tensorCount }],
  ])
}

/**
 * Deals tensors, in order, into shards whose data is at most `maxBytes` each, padding included and headers not, as gguf-split counts. A
 * larger tensor has a shard to itself. At least one shard, which may be empty.
 */
export function planShards<T extends { readonly sizeBytes: number }>(tensors: readonly T[], maxBytes: number): T[][] {
  const shards: T[][] = [[]]
  let dataBytes = 0
  for (const tensor of tensors) {
    const padded = alignUp(tensor.sizeBytes, defaultAlignment)
    const shard = shards.at(-1) as T[]
    if (shard.length > 0 && dataBytes + padded > maxBytes) {
      shards.push([tensor])
      dataBytes = padded
    } else {
      shard.push(tensor)
      dataBytes += padded
    }
  }
  return shards
}
