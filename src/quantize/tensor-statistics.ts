import { type GgmlTypeName, ggmlType } from '../../formats/ggml/types.js'
import { type ErrorSums, OrderedSums, type QuantizeTask } from '../engine/index.js'
import type { TensorLocation } from '../plan/index.js'
import { leastMagnitude } from './zero-tensors.js'

/**
 * Statistics of a quantized tensor. Errors are over all weights of a tensor with up to a million, over one row in 16 of a larger one, always
 * the same rows, evenly spaced.
 */
export interface QuantizedTensor {
  readonly name: string
  readonly type: GgmlTypeName
  /** Sum of (x - x')^2 over sum of x^2; 0 where the type holds the source exactly. */
  readonly relativeError: number
  /** The same with columns weighted by importance; absent where there is none. */
  readonly weightedRelativeError?: number
  /** Output error tr(E H E^T) / tr(W H W^T) on sampled rows; absent without an input covariance. */
  readonly outputError?: number
  /** Cosine of the angle between the weights before and after. */
  readonly cosine: number
  /** Largest |x - x'|. */
  readonly maxError: number
  /** Share of the weights that are clipped: beyond the range of their block. */
  readonly clippedShare: number
  /** How many weights were measured; 0 where the type holds the source exactly. */
  readonly measuredWeights: number
  /** Time that worker threads spent quantizing and measuring it, together; reading and writing go on meanwhile. */
  readonly seconds: number
}

/** Collects statistics of each tensor while tasks finish. */
export interface TensorStatistics {
  add(task: QuantizeTask, sums: ErrorSums | undefined, seconds: number): void
  /** In the order of the file. */
  tensors(): QuantizedTensor[]
  /** Names of the tensors whose measured weights are all zero: their root mean square is at most `leastMagnitude`. */
  zeros(): string[]
}

/** Starts empty. */
export function newTensorStatistics(locations: readonly TensorLocation[]): TensorStatistics {
  const works = new Map(
    locations.map(({ name, type }) => [name, { name, type, sums: new OrderedSums(), seconds: 0, weighted: false }]),
  )
  return {
    add({ tensor, part, run }, sums, seconds) {
      const work = works.get(tensor)
      if (work === undefined) throw new RangeError(`no tensor ${tensor}`)
      work.seconds += seconds
      work.weighted = run.importance !== undefined
      if (sums !== undefined) work.sums.add(part, sums)
    },
    tensors: () =>
      [...works.values()].map(({ name, type, sums, seconds, weighted }) => ({
        name,
        type,
        ...figuresOf(sums.total, type, weighted),
        seconds,
      })),
    zeros: () => [...works.values()].filter(({ sums }) => isZero(sums.total)).map(({ name }) => name),
  }
}

function isZero(total: ErrorSums | undefined): boolean {
  return total !== undefined && total.count > 0 && total.squaredNorm <= total.count * leastMagnitude ** 2
}

function figuresOf(
  total: ErrorSums | undefined,
  type: GgmlTypeName,
  weighted: boolean,
): Omit<QuantizedTensor, 'name' | 'type' | 'seconds'> {
  if (total === undefined) return { relativeError: 0, cosine: 1, maxError: 0, clippedShare: 0, measuredWeights: 0 }
  const {
    count,
    squaredError,
    squaredNorm,
    storedNorm,
    dotProduct,
    maxError,
    weightedError,
    weightedNorm,
    clipped,
    outputError,
    outputNorm,
  } = total
  return {
    relativeError: ratio(squaredError, squaredNorm),
    weightedRelativeError: weighted ? ratio(weightedError, weightedNorm) : undefined,
    outputError: outputNorm === 0 ? undefined : outputError / outputNorm,
    cosine: squaredNorm * storedNorm === 0 ? 1 : dotProduct / Math.sqrt(squaredNorm * storedNorm),
    maxError,
    clippedShare: ggmlType(type).blockSize === 1 ? 0 : clipped / count,
    measuredWeights: count,
  }
}

function ratio(error: number, norm: number): number {
  return norm === 0 ? 0 : error / norm
}
