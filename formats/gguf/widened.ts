import type { Metadata } from './types.js'

/**
 * Metadata key of mq for a file whose widths grew by zeros: JSON, `{ "weights": 134515008, "widths": { "embedding_length": { "from": 576,
 * "to": 768 } } }`. llama.cpp passes it over.
 */
export const widenedKey = 'mq.widened'

/** Weights of the model in a file whose widths grew, zeros not counted; undefined for all others. */
export function weightsOfWidened(metadata: Metadata): number | undefined {
  const entry = metadata.get(widenedKey)
  if (entry?.type !== 'string') return undefined
  try {
    const { weights } = JSON.parse(entry.value) as { readonly weights?: unknown }
    return Number.isSafeInteger(weights) && (weights as number) > 0 ? (weights as number) : undefined
  } catch {
    return undefined
  }
}
