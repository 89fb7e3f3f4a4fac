import { compute, elementwise, type Graph, type GraphTensor, half, store, swapMiddle, view } from './graph.js'
import type { ExpertLayers, GroupedAttention, LatentAttention, ModelShape } from './model-shape.js'

/** What all layers of one graph share. */
export interface GraphInputs {
  readonly graph: Graph
  /** Tokens that are computed at a time. */
  readonly tokens: number
  readonly context: number
  readonly flashAttention: boolean
  /** Whether queries, keys and values are projected by one matrix. */
  readonly fusedQueries: boolean
  readonly positions: GraphTensor
  readonly mask: GraphTensor
  readonly keyRows: GraphTensor
  readonly valueRows: GraphTensor
  /** Square matrices that spread outliers before keys and values are quantized; absent for caches that are not. */
  readonly keyRotation?: GraphTensor
  readonly valueRotation?: GraphTensor
}

/**
 * Normalized, scaled by a weight and shifted by a bias: each step over the one before where nothing else reads it. Only RMSNorm may itself
 * be written over its input (ggml_op_can_inplace of ggml/src/ggml-alloc.c).
 */
export function norm(values: GraphTensor, { kind, steps }: ModelShape['norm'] = { kind: 'rms', steps: 1 }): GraphTensor {
  let state = kind === 'rms' ? elementwise(values) : compute(values.dimensions, values)
  for (let step = 0; step < steps; step++) state = elementwise(state)
  return state
}

/** Source: build_qkv and build_attn of src/llama-graph.cpp, llama.cpp v0.5.0. */
export function groupedAttention(inputs: GraphInputs, shape: GroupedAttention, values: GraphTensor, hidden: number): GraphTensor {
  const { graph, tokens, positions } = inputs
  const { heads, keyValueHeads, keyLength, valueLength } = shape
  const columns = [heads * keyLength, keyValueHeads * keyLength, keyValueHeads * valueLength]
  const fused = inputs.fusedQueries ? compute([columns.reduce((sum, count) => sum + count, 0), tokens], values) : undefined
  const projected = (length: number, count: number): GraphTensor => {
    if (fused === undefined) return view(compute([length * count, tokens], values), [length, count, tokens])
    const rowBytes = fused.strides[1]
    return view(fused, [length, count, tokens], [4, 4 * length, rowBytes, rowBytes * tokens])
  }
  const queries = rotate(elementwise(projected(keyLength, heads), positions), inputs.keyRotation)
  const keys = rotate(elementwise(projected(keyLength, keyValueHeads), positions), inputs.keyRotation)
  const ofValues = rotate(projected(valueLength, keyValueHeads), inputs.valueRotation)
  graph.expand(queries)
  graph.expand(ofValues)
  graph.expand(keys)
  graph.expand(store(view(keys, [keyLength * keyValueHeads, tokens]), inputs.keyRows))
  const rows = view(ofValues, [keyValueHeads * valueLength, tokens])
  graph.expand(store(inputs.flashAttention ? rows : view(rows, [1, keyValueHeads * valueLength * tokens]), inputs.valueRows))
  return compute([hidden, tokens], rotate(attend(inputs, queries, heads, valueLength), inputs.valueRotation))
}

/** Multiplied by a square matrix, stretch by stretch; itself where there is none. */
function rotate(values: GraphTensor, rotation: GraphTensor | undefined): GraphTensor {
  if (rotation === undefined) return values
  const [size] = rotation.dimensions
  const elements = values.dimensions.reduce((product, count) => product * count, 1)
  const stretches = [size, elements / size]
  return view(compute(stretches, rotation, view(values, stretches)), values.dimensions)
}

/** Source: graph of src/models/deepseek2.cpp, llama.cpp v0.5.0, with the projections absorbed. */
export function latentAttention(inputs: GraphInputs, shape: LatentAttention, values: GraphTensor, hidden: number): GraphTensor {
  const { graph, tokens, positions } = inputs
  const { heads, latent, rotated, plain, valueLength, queryLatent } = shape
  const headLength = plain + rotated
  const narrow = queryLatent === undefined ? values : norm(compute([queryLatent, tokens], values))
  const queries = view(compute([heads * headLength, tokens], narrow), [headLength, heads, tokens])
  const both = compute([latent + rotated, tokens], values)
  const rowBytes = 4 * (latent + rotated)
  const ofLatent = view(both, [latent, tokens], [4, rowBytes, rowBytes * tokens, rowBytes * tokens])
  const keyRotation = elementwise(view(both, [rotated, 1, tokens], [4, rowBytes, rowBytes, rowBytes * tokens]), positions)
  const state = norm(ofLatent)
  const headStrides = queries.strides
  const plainQueries = swapMiddle(view(queries, [plain, heads, tokens], headStrides))
  const queryRotation = elementwise(view(queries, [rotated, heads, tokens], headStrides), positions)
  const absorbed = swapMiddle(compute([latent, tokens, heads], plainQueries))
  const query = compute([latent + rotated, heads, tokens], absorbed, queryRotation)
  const stateRows = view(state, [latent, 1, tokens])
  const key = compute([latent + rotated, 1, tokens], stateRows, keyRotation)
  graph.expand(query)
  graph.expand(stateRows)
  graph.expand(key)
  graph.expand(store(view(key, [latent + rotated, tokens]), inputs.keyRows))
  return compute([hidden, tokens], attend(inputs, query, heads, latent, valueLength))
}

/**
 * From queries to what the heads say, side by side. Without flash attention the scores of all tokens, heads and places of the cache
 * are there at once.
 * @param decompressed length of a head's values after latent attention's value projection.
 */
function attend(inputs: GraphInputs, queries: GraphTensor, heads: number, length: number, decompressed?: number): GraphTensor {
  const { graph, tokens, context, flashAttention, mask } = inputs
  const byHead = swapMiddle(view(queries, queries.dimensions, queries.strides))
  const result = (): GraphTensor => {
    if (flashAttention) {
      const said = compute([length, heads, tokens], byHead, mask)
      if (decompressed === undefined) return view(said, [length * heads, tokens])
      const out = compute([decompressed, tokens, heads], swapMiddle(said))
      return view(compute([decompressed, heads, tokens], swapMiddle(out)), [decompressed * heads, tokens])
    }
    const scores = elementwise(compute([context, tokens, heads], byHead), mask)
    // Values that are a part of the cached keys have to be copied, transposed; those of a cache of their own lie so already.
    const copied = decompressed === undefined ? [] : [half([context, length])]
    const said = compute([length, tokens, heads], ...copied, scores)
    const out = decompressed === undefined ? said : compute([decompressed, tokens, heads], said)
    return compute([(decompressed ?? length) * heads, tokens], swapMiddle(out))
  }
  const attended = result()
  graph.expand(attended)
  return attended
}

/** Gate, up and down. Source: build_ffn of src/llama-graph.cpp, llama.cpp v0.5.0. */
export function feedForward(values: GraphTensor, width: number, gating: ModelShape['gating'] = 'apart'): GraphTensor {
  const [hidden, tokens] = values.dimensions
  if (gating === 'none') return compute([hidden, tokens], elementwise(compute([width, tokens], values)))
  if (gating === 'fused') return compute([hidden, tokens], compute([width, tokens], compute([2 * width, tokens], values)))
  const gate = compute([width, tokens], values)
  return compute([hidden, tokens], compute([width, tokens], gate, compute([width, tokens], values)))
}

/** Source: build_moe_ffn of src/llama-graph.cpp, llama.cpp v0.5.0. */
export function expertLayer({ graph }: GraphInputs, shape: ExpertLayers, values: GraphTensor): GraphTensor {
  const { count, used, width } = shape
  const [hidden, tokens] = values.dimensions
  const probabilities = elementwise(compute([count, tokens], values))
  const chosen = topOf(selection(shape, probabilities), used)
  let weights = compute([1, used, tokens], view(probabilities, [1, count, tokens]), chosen)
  if (shape.normalized) {
    const flat = view(weights, [used, tokens])
    weights = view(elementwise(flat, elementwise(compute([1, tokens], flat))), [1, used, tokens])
  }
  if (shape.scaled) weights = elementwise(weights)
  graph.expand(weights)
  const rows = view(values, [hidden, 1, tokens])
  const up = compute([width, used, tokens], rows, chosen)
  const gate = compute([width, used, tokens], rows, chosen)
  const down = compute([hidden, used, tokens], compute([width, used, tokens], gate, up), chosen)
  const weighted = elementwise(down, weights)
  graph.expand(weighted)
  const [, , stride, whole] = weighted.strides
  const parts = Array.from({ length: used }, () => view(weighted, [hidden, tokens], [4, stride, whole, whole]))
  for (const part of parts) graph.expand(part)
  const [first, ...others] = parts as [GraphTensor, ...GraphTensor[]]
  if (others.length === 0) return compute([hidden, tokens], first)
  return others.reduce((sum, part) => {
    const next = elementwise(sum, part)
    graph.expand(next)
    return next
  }, first)
}

/** What experts are chosen by: with groups, only the best groups' experts can be. */
function selection({ count, groups, groupsUsed, biased }: ExpertLayers, probabilities: GraphTensor): GraphTensor {
  const tokens = probabilities.dimensions[1]
  const scores = biased ? elementwise(probabilities) : probabilities
  if (groups <= 1) return scores
  const size = count / groups
  const byGroup = view(scores, [size, groups, tokens])
  const best = compute([1, 2, groups, tokens], view(byGroup, [1, size, groups, tokens]), topOf(byGroup, 2))
  const sums = view(compute([1, groups, tokens], view(best, [2, groups, tokens])), [groups, tokens])
  const chosen = topOf(sums, groupsUsed)
  const kept = compute([size, groupsUsed, tokens], byGroup, chosen)
  const masked = elementwise(byGroup)
  const merged = view(masked, [size, groups, tokens])
  return view({ ...merged, sources: [kept, chosen, masked] }, [count, tokens])
}

/** Places of the largest values of each row: all are sorted, the first are kept. */
function topOf(values: GraphTensor, count: number): GraphTensor {
  const sorted = compute(values.dimensions, values)
  const [, b, c, d] = values.dimensions
  return view(sorted, [count, b, c, d], sorted.strides)
}
