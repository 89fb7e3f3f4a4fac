import { embeddingRank } from '../covariance/index.js'
import type { KnownInputs } from '../engine/index.js'
import type { Blueprint } from '../model/index.js'
import { rowLength } from '../recipe/index.js'
import { embeddingReaders } from './embedding-readers.js'

/** Names what stands for the embedding's input. */
export const embeddingKey = 'readers of the embedding'

/**
 * What is known of a model without a calibration: the embedding has no input, but its errors go together as the first block reads them.
 * No weight is read here: a worker makes the covariance.
 * @returns undefined where embeddingReaders finds none.
 */
export function embeddingInputs(model: Pick<Blueprint, 'tensors'>): KnownInputs | undefined {
  const read = embeddingReaders(model)
  if (read === undefined) return undefined
  const { embedding, readers } = read
  return {
    digest: 'readers of the embedding, 1',
    weightsAlone: true,
    importance: () => undefined,
    inputOf: (tensor) => (tensor === embedding ? embeddingKey : undefined),
    rankOf: () => embeddingRank(rowLength(readers.norm)),
    source: async () => ({ kind: 'readers', readers }),
    heldOut: async () => new Float32Array(),
  }
}
