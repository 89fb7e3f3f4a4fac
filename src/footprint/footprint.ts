import { alignUp } from '../../formats/align-up.js'
import { MqError } from '../errors/index.js'
import type { Blueprint, TensorRole } from '../model/index.js'
import { type ComputeOptions, computeBufferBytes } from './compute-buffer.js'
import { type CacheType, kvCacheBytes, paddedContext } from './kv-cache.js'
import { type ModelShape, modelShape } from './model-shape.js'

/** How a model is to run. */
export interface RunOptions {
  /** Tokens that a conversation may hold. */
  readonly context: number
  readonly cacheType?: CacheType
  /** llama.cpp uses it wherever it can. */
  readonly flashAttention?: boolean
  /** Tokens that are computed at a time. */
  readonly batch?: number
}

/** Bytes that a running model takes besides its weights, as llama.cpp reports its buffers. */
export interface Buffers {
  readonly kvCacheBytes: number
  readonly computeBytes: number
  /** Logits of one token. */
  readonly outputBytes: number
}

/** The same with the weights. */
export interface Footprint extends Buffers {
  readonly weightsBytes: number
  readonly totalBytes: number
}

/** ggml pads each tensor to this in memory, as GGUF does in the file. */
export const tensorAlignment = 32

/**
 * The shape that memory is worked out from.
 * @throws MqError FOOTPRINT_UNKNOWN where the size of the KV cache does not follow from the metadata.
 */
export function shapeOrRefuse(blueprint: Blueprint): ModelShape {
  const shape = modelShape(blueprint)
  if (shape === undefined) throw MqError.of('FOOTPRINT_UNKNOWN', { architecture: blueprint.architecture })
  return shape
}

/** Memory of a model of this shape besides its weights. */
export function buffersOf(shape: ModelShape, { context, cacheType = 'F16', flashAttention = true, batch }: RunOptions): Buffers {
  const padded = paddedContext(context)
  const compute: ComputeOptions = {
    context: padded,
    cacheType,
    // llama.cpp turns it on where values are quantized.
    flashAttention: flashAttention || cacheType !== 'F16',
    batch,
  }
  return {
    kvCacheBytes: kvCacheBytes(shape, padded, cacheType),
    computeBytes: computeBufferBytes(shape, compute),
    outputBytes: 4 * shape.vocabulary,
  }
}

/** Size of a stored tensor. */
export interface TensorSize {
  readonly name: string
  readonly role: TensorRole
  readonly layer?: number
  readonly sizeBytes: number
}

/** Bytes of a plan's weights in memory. */
export function weightsBytes({ tensors }: { readonly tensors: readonly Pick<TensorSize, 'sizeBytes'>[] }): number {
  return tensors.reduce((sum, { sizeBytes }) => sum + alignUp(sizeBytes, tensorAlignment), 0)
}

/** All that a plan's file needs to run. */
export function footprintOf(plan: { readonly tensors: readonly Pick<TensorSize, 'sizeBytes'>[] }, buffers: Buffers): Footprint {
  const weights = weightsBytes(plan)
  const { kvCacheBytes: cache, computeBytes, outputBytes } = buffers
  return { weightsBytes: weights, ...buffers, totalBytes: weights + cache + computeBytes + outputBytes }
}
