import { graphBufferBytes } from './allocator.js'
import { compute, createGraph, elementwise, type GraphTensor, input } from './graph.js'
import type { CacheType } from './kv-cache.js'
import { expertLayer, feedForward, type GraphInputs, groupedAttention, latentAttention, norm } from './layers.js'
import type { ModelShape } from './model-shape.js'

/** The run that the compute buffer is estimated for. */
export interface ComputeOptions {
  /** Tokens of the KV cache. */
  readonly context: number
  /** Tokens that are computed at a time: llama.cpp's --ubatch-size. */
  readonly batch?: number
  readonly flashAttention?: boolean
  /** Type of the KV cache. */
  readonly cacheType?: CacheType
}

/** Tokens computed at a time unless asked otherwise, as llama.cpp. */
export const defaultBatch = 512

/**
 * Bytes of llama.cpp's compute buffer: intermediate results of the graph while a batch is computed. The graph is built as
 * llama.cpp v0.5.0 builds it for prompt processing, with logits for every token, and its allocator is run on it.
 */
export function computeBufferBytes(shape: ModelShape, options: ComputeOptions): number {
  const { context, batch = defaultBatch, flashAttention = true } = options
  const { hidden, vocabulary, attention } = shape
  const tokens = Math.min(batch, context)
  const graph = createGraph()
  const embedded = compute([hidden, tokens], input(4, tokens))
  graph.expand(embedded)
  // The other way to give tokens, as vectors: its place is kept, too.
  graph.expand(input(4, hidden, tokens))
  const valueLength = attention.kind === 'grouped' ? attention.keyValueHeads * attention.valueLength : 0
  const inputs: GraphInputs = {
    graph,
    tokens,
    context,
    flashAttention,
    fusedQueries: shape.fusedQueries,
    positions: input(4, tokens),
    mask: input(flashAttention ? 2 : 4, context, tokens),
    keyRows: input(8, tokens),
    valueRows: input(8, flashAttention ? tokens : tokens * valueLength),
    ...rotations(shape, options.cacheType),
  }
  const outputRows = input(4, tokens)

  let state = embedded
  for (let layer = 0; layer < shape.layers; layer++) {
    const normed = norm(state, shape.norm)
    let attended =
      attention.kind === 'grouped'
        ? groupedAttention(inputs, attention, normed, hidden)
        : latentAttention(inputs, attention, normed, hidden)
    let residual = state
    const isLast = layer === shape.layers - 1
    if (isLast) {
      attended = compute([hidden, tokens], attended, outputRows)
      residual = compute([hidden, tokens], residual, outputRows)
    }
    if (shape.parallel) {
      const beside = afterAttention(inputs, shape, layer, isLast ? compute([hidden, tokens], normed, outputRows) : normed)
      state = elementwise(elementwise(beside, residual), attended)
      continue
    }
    const middle = elementwise(attended, residual)
    state = elementwise(afterAttention(inputs, shape, layer, norm(middle, shape.norm)), middle)
  }
  const result = norm(state, shape.norm)
  result.output = true
  const logits = compute([vocabulary, tokens], result)
  logits.output = true
  graph.expand(logits)
  return graphBufferBytes(graph)
}

/** llama.cpp rotates what it quantizes, where the heads' length allows it: by the largest power of two for keys, by 64 for values. */
function rotations({ attention }: ModelShape, cacheType: CacheType = 'F16'): Pick<GraphInputs, 'keyRotation' | 'valueRotation'> {
  if (cacheType === 'F16' || attention.kind === 'latent') return {}
  const { keyLength, valueLength } = attention
  let size = 64
  while (keyLength % (2 * size) === 0) size *= 2
  return {
    ...(keyLength % 64 === 0 && { keyRotation: input(4, size, size) }),
    ...(valueLength % 64 === 0 && { valueRotation: input(4, 64, 64) }),
  }
}

function afterAttention(inputs: GraphInputs, shape: ModelShape, layer: number, values: GraphTensor): GraphTensor {
  const { experts, feedForward: width } = shape
  if (experts === undefined || !shape.hasExperts(layer)) return feedForward(values, width, shape.gating)
  const routed = expertLayer(inputs, experts, values)
  return experts.sharedWidth === 0 ? routed : elementwise(routed, feedForward(values, experts.sharedWidth))
}
