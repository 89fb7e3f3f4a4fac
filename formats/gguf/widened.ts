import type { Metadata } from './types.js'

/**
 * Metadata key of mq for a file whose widths grew by zeros: JSON, `{ "weights": 134515008, "grain": 1, "widths": { "embedding_length": {
 * "from": 576, "to": 768 } } }`. llama.cpp passes it over.
 */
export const widenedKey = 'mq.widened'

/** A width: one number, or one for each block. */
type Size = number | readonly number[]

/** What the key says. */
export interface Widened {
  /** Weights of the model, zeros not counted. */
  readonly weights: number
  /** How many of the model's entries stay together where zeros come between them; 0 where all zeros stand at the end. */
  readonly grain: number
  /** Sizes before and after, by the metadata's names of the widths without the architecture. */
  readonly widths: Readonly<Record<string, { readonly from: Size; readonly to: Size }>>
}

/** What a file says of widths that grew; undefined where it says nothing. @throws RangeError, SyntaxError where it is not what mq writes. */
export function readWidened(metadata: Metadata): Widened | undefined {
  const entry = metadata.get(widenedKey)
  if (entry?.type !== 'string') return undefined
  const read: unknown = JSON.parse(entry.value)
  const { weights, grain, widths } = (typeof read === 'object' && read !== null ? read : {}) as Partial<Widened>
  if (!isCount(weights) || typeof widths !== 'object' || widths === null) throw new RangeError('it has no weights and widths')
  if (!Number.isSafeInteger(grain) || (grain as number) < 0) throw new RangeError('it has no grain')
  for (const [key, change] of Object.entries(widths)) {
    const { from, to } = change as Partial<Widened['widths'][string]>
    if (!isSize(from) || !isSize(to)) throw new RangeError(`${key} has no such sizes`)
  }
  return { weights, grain: grain as number, widths }
}

/** Weights of the model in a file whose widths grew, zeros not counted; undefined for all others, and where the key is not as mq writes it. */
export function weightsOfWidened(metadata: Metadata): number | undefined {
  try {
    return readWidened(metadata)?.weights
  } catch {
    return undefined
  }
}

/** The widths of such a file before and after, as `embedding_length 576 to 768`; of blocks that differ each size once. */
export function widthsOfWidened(metadata: Metadata): readonly string[] | undefined {
  const text = (size: Size): string => (typeof size === 'number' ? String(size) : [...new Set(size)].join('/'))
  try {
    const widened = readWidened(metadata)
    return widened && Object.entries(widened.widths).map(([key, { from, to }]) => `${key} ${text(from)} to ${text(to)}`)
  } catch {
    return undefined
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0
}

function isSize(value: unknown): value is Size {
  return Number.isSafeInteger(value) || (Array.isArray(value) && value.every(Number.isSafeInteger))
}
