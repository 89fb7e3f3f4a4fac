import { type CovarianceSource, embeddingRank, embeddingWeights } from '../covariance/index.js'
import type { InputCovariances } from '../engine/index.js'
import type { Blueprint } from '../model/index.js'
import { rowLength } from '../recipe/index.js'
import { embeddingReaders, type ReadEmbedding } from './embedding-readers.js'

/** Key of the embedding's input covariance. */
export const embeddingKey = 'readers of the embedding'

/** The covariance of one input, and its rank. */
export interface KnownInput {
  readonly source: () => Promise<CovarianceSource>
  readonly rank: number | 'whole'
}

/**
 * The covariance of a tied embedding: the sum of those of its two uses, by the matrices that read it in the first layer and by the logits. There are
 * no held-out rows, since these would be inputs of one use only.
 *
 * The first attention reads the embedding; the first feed-forward part reads the sum of the embedding and of that attention's
 * output. The input's weight is split between the two by their parts in the power of that sum: where attention dominates (the samples, 0.9995 of the
 * power), errors act through attention; where it does not (SmolLM2, 0.42), they act through the feed-forward part. The effect on later layers is
 * neglected: 0.003 of the residual stream's power in SmolLM2, and 0.006 of the effect by gradients. See docs/experiments.md.
 * @param attention the input of the matrix by which the first attention writes; without it, all is read by attention.
 */
export function tiedInputs(
  { recipe, readers, feedForward, writer }: Pick<ReadEmbedding, 'recipe' | 'readers' | 'feedForward' | 'writer'>,
  head: KnownInput,
  attention?: KnownInput,
): Pick<InputCovariances, 'rankOf' | 'source' | 'heldOut'> {
  const { input, output } = embeddingWeights
  const rank = embeddingRank(rowLength(recipe))
  const [ofInput, ofOutput] = [input / (input + output), output / (input + output)]
  const isSplit = feedForward !== undefined && writer !== undefined && attention !== undefined
  return {
    rankOf: () => (rank === 'whole' || head.rank === 'whole' ? 'whole' : (isSplit ? 2 : 1) * rank + head.rank),
    source: async () => ({
      kind: 'uses',
      weight: recipe,
      uses: [
        { source: { kind: 'readers', readers }, share: ofInput, times: 'added' },
        ...(isSplit ? [{ source: { kind: 'readers', readers: feedForward }, share: ofInput, times: 'rows' } as const] : []),
        { source: await head.source(), share: ofOutput },
      ],
      added: isSplit ? { weight: writer.recipe, input: await attention.source() } : undefined,
    }),
    heldOut: async () => new Float32Array(),
  }
}

/**
 * Input covariances of a model without a calibration: that of the embedding, from the matrices that read it in the first layer. No weight is read
 * here: a worker computes the covariance.
 * @returns undefined where embeddingReaders finds none, and where the embedding is the output matrix too.
 */
export function embeddingCovariances(model: Pick<Blueprint, 'architecture' | 'tensors'>): InputCovariances | undefined {
  const read = embeddingReaders(model)
  if (read === undefined || read.isTied) return undefined
  const { embedding, readers } = read
  return {
    digest: 'readers of the embedding, 1',
    fromWeights: true,
    importance: () => undefined,
    inputOf: (tensor) => (tensor === embedding ? embeddingKey : undefined),
    rankOf: () => embeddingRank(rowLength(readers.norm)),
    source: async () => ({ kind: 'readers', readers }),
    heldOut: async () => new Float32Array(),
  }
}
