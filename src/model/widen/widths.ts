import type { Metadata } from '../../../formats/gguf/types.js'
import { familyOfArchitecture } from '../architectures/index.js'
import type { Blueprint } from '../blueprint.js'
import { type Grain, superBlock } from './placement.js'

/** Widths that can grow, by GGUF's names of them, without the architecture. */
export const widthKeys = [
  'embedding_length',
  'feed_forward_length',
  'expert_feed_forward_length',
  'expert_shared_feed_forward_length',
  'attention.head_count',
] as const

export type WidthKey = (typeof widthKeys)[number]

/** Names of the widths in config.json. */
const configNames: Readonly<Record<string, WidthKey>> = {
  hidden_size: 'embedding_length',
  intermediate_size: 'feed_forward_length',
  moe_intermediate_size: 'expert_feed_forward_length',
  shared_expert_intermediate_size: 'expert_shared_feed_forward_length',
  num_attention_heads: 'attention.head_count',
}

/** The key of a width by its name in config.json or in GGUF; undefined where there is none of that name. */
export function widthKeyOf(name: string): WidthKey | undefined {
  return widthKeys.find((key) => key === name) ?? (Object.hasOwn(configNames, name) ? configNames[name] : undefined)
}

/** Name of a width in config.json. */
export function configNameOf(key: WidthKey): string {
  return Object.keys(configNames).find((name) => configNames[name] === key) ?? key
}

/** All names of widths: those of config.json, then those of GGUF. */
export const widthNames: readonly string[] = [...Object.keys(configNames), ...widthKeys]

/** A width: one number, or one for each block. */
export type Size = number | readonly number[]

/** Sizes of some widths. */
export type Widths = Partial<Readonly<Record<WidthKey, Size>>>

/** A width of a model. */
export interface Width {
  readonly key: WidthKey
  readonly size: Size
}

/** A width that grows. */
export interface WidthChange {
  readonly from: Size
  readonly to: Size
}

/** The sizes that a model is, or was, widened to. */
export type WidthChanges = Partial<Readonly<Record<WidthKey, WidthChange>>>

/** The widening of a model. */
export interface Widening {
  readonly widths: WidthChanges
  /** How many entries stay together where zeros come between them: see placementOf. */
  readonly grain: Grain
}

/** The widths of a model that its family allows to widen; none for unknown families. */
export function widenableWidths({ architecture, metadata }: Pick<Blueprint, 'architecture' | 'metadata'>): readonly Width[] {
  const widths = familyOfArchitecture(architecture)?.widths
  if (widths === undefined) return []
  return widthKeys.flatMap((key): Width[] => {
    const size = sizeOf(metadata, architecture, key)
    const may =
      key === 'embedding_length'
        ? widths.embedding !== undefined
        : key === 'attention.head_count'
          ? widths.heads !== undefined && typeof size === 'number'
          : widths.feedForward
    return may && size !== undefined ? [{ key, size }] : []
  })
}

/** The heads of attention, where their number may grow. */
export interface Heads {
  readonly count: number
  /** Those of keys and values; one number for each block where they differ. */
  readonly keyValue: Size
  /** Values of a query, and of a value. */
  readonly keyLength: number
  readonly valueLength: number
}

/** Heads as the metadata say them; undefined where blocks have other numbers of them, or there are none. */
export function headsOf({ architecture, metadata }: Pick<Blueprint, 'architecture' | 'metadata'>): Heads | undefined {
  const size = (key: string): Size | undefined => sizeOf(metadata, architecture, key)
  const [count, width] = [size('attention.head_count'), size('embedding_length')]
  if (typeof count !== 'number' || typeof width !== 'number') return undefined
  const each = Math.floor(width / count)
  const [keyLength = each, valueLength = each] = [size('attention.key_length'), size('attention.value_length')]
  if (typeof keyLength !== 'number' || typeof valueLength !== 'number') return undefined
  return { count, keyValue: size('attention.head_count_kv') ?? count, keyLength, valueLength }
}

/** Whether each key-value head can serve as many of `count` query heads as any other. */
export function isWholeGroups(count: number, { keyValue }: Heads): boolean {
  const groups = typeof keyValue === 'number' ? [keyValue] : keyValue
  return Number.isSafeInteger(count) && groups.every((heads) => heads === 0 || count % heads === 0)
}

/** A width as the metadata say it; undefined where they do not. */
export function sizeOf(metadata: Metadata, architecture: string, key: string): Size | undefined {
  const value = metadata.get(`${architecture}.${key}`)?.value
  if (typeof value === 'number') return value > 0 ? value : undefined
  const isList = Array.isArray(value) || value instanceof Int32Array || value instanceof Uint32Array
  return isList ? Array.from(value as ArrayLike<number>) : undefined
}

/** A width of one block. */
export function sizeAt(size: Size, layer: number): number {
  return typeof size === 'number' ? size : (size[layer] ?? 0)
}

/** The least size from `size` that rows of whole blocks of 256 have. */
export function wholeBlocks(size: Size): Size {
  const up = (value: number): number => Math.ceil(value / superBlock) * superBlock
  return typeof size === 'number' ? up(size) : size.map(up)
}

/** Whether two sizes are the same. */
export function sameSize(a: Size, b: Size): boolean {
  return String(a) === String(b)
}

/** A size for messages; of different blocks each once. */
export function sizeText(size: Size): string {
  return typeof size === 'number' ? String(size) : [...new Set(size)].join('/')
}
