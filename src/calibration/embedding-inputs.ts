import { type CovarianceSource, embeddingRank, embeddingWeights } from '../covariance/index.js'
import type { KnownInputs } from '../engine/index.js'
import type { Blueprint } from '../model/index.js'
import { rowLength } from '../recipe/index.js'
import { embeddingReaders, type ReadEmbedding } from './embedding-readers.js'

/** Names what stands for the embedding's input. */
export const embeddingKey = 'readers of the embedding'

/** What a calibration knows of the inputs of an output matrix. */
export interface HeadInputs {
  readonly source: () => Promise<CovarianceSource>
  readonly rank: number | 'whole'
}

/**
 * Of the damage that errors of an embedding do as inputs, the part of what blocks after the first read, as the residual stream carries it
 * on. They read it through many norms and matrices, so that all columns count alike. See docs/experiments.md.
 */
const laterPart = 0.5

/**
 * What is known of an embedding that is the output matrix too: its uses added up, what the first block reads, what the residual stream
 * carries on, and what the logits are made of. No rows are held out, since these would be inputs of one use alone.
 */
export function tiedInputs(
  { recipe, readers }: Pick<ReadEmbedding, 'recipe' | 'readers'>,
  head: HeadInputs,
): Pick<KnownInputs, 'rankOf' | 'source' | 'heldOut'> {
  const { input, output } = embeddingWeights
  const rank = embeddingRank(rowLength(recipe))
  const diagonal = new Float64Array(rowLength(recipe)).fill(1)
  return {
    rankOf: () => (rank === 'whole' || head.rank === 'whole' ? 'whole' : rank + head.rank),
    source: async () => ({
      kind: 'uses',
      weight: recipe,
      uses: [
        { source: { kind: 'readers', readers }, share: (input * (1 - laterPart)) / (input + output) },
        { source: { kind: 'known', covariance: { diagonal } }, share: (input * laterPart) / (input + output) },
        { source: await head.source(), share: output / (input + output) },
      ],
    }),
    heldOut: async () => new Float32Array(),
  }
}

/**
 * What is known of a model without a calibration: the embedding has no input, but its errors go together as the first block reads them.
 * No weight is read here: a worker makes the covariance.
 * @returns undefined where embeddingReaders finds none, and where the embedding is the output matrix too.
 */
export function embeddingInputs(model: Pick<Blueprint, 'architecture' | 'tensors'>): KnownInputs | undefined {
  const read = embeddingReaders(model)
  if (read === undefined || read.isTied) return undefined
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
