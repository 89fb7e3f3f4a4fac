import type { Graph, GraphTensor } from './graph.js'

const alignment = 32

/** A stretch of free memory; the last one has no end. */
interface Free {
  offset: number
  size: number
}

/** What is known of a tensor while memory is given out. */
interface State {
  children: number
  views: number
  allocated: boolean
  offset: number
}

/**
 * Bytes of the buffer that ggml's graph allocator reserves for a graph: inputs first, then node by node the best fitting gap, results
 * over sources where that is allowed, and memory given back with the last use. Source: ggml/src/ggml-alloc.c of llama.cpp v0.5.0.
 */
export function graphBufferBytes({ inputs, nodes }: Graph): number {
  const heap = createHeap()
  const states = new Map<GraphTensor, State>()
  const stateOf = (tensor: GraphTensor): State => {
    const known = states.get(tensor)
    if (known !== undefined) return known
    const state = { children: 0, views: 0, allocated: false, offset: 0 }
    states.set(tensor, state)
    return state
  }
  const allocate = (tensor: GraphTensor): void => {
    const state = stateOf(tensor)
    if (state.allocated || tensor.external || tensor.viewOf !== undefined) return
    state.allocated = true
    state.offset = (tensor.inPlace ? takeOver(tensor, stateOf) : undefined) ?? heap.take(tensor.sizeBytes)
  }
  const release = (tensor: GraphTensor): void => {
    const state = stateOf(tensor)
    if (!state.allocated || tensor.output) return
    heap.give(state.offset, tensor.sizeBytes)
    state.allocated = false
  }

  for (const tensor of inputs) allocate(tensor)
  for (const node of nodes) {
    if (node.viewOf !== undefined) stateOf(node.viewOf).views += 1
    for (const source of node.sources) stateOf(source).children += 1
  }
  for (const node of nodes) {
    allocate(node)
    for (const source of node.sources) {
      const state = stateOf(source)
      state.children -= 1
      if (state.children > 0 || state.views > 0) continue
      if (source.viewOf === undefined) {
        release(source)
      } else {
        const root = stateOf(source.viewOf)
        root.views -= 1
        if (root.views === 0 && root.children === 0) release(source.viewOf)
      }
    }
  }
  return heap.most()
}

/**
 * Where a source lies that the result can be written over, which then is no longer the source's; undefined where there is none. A view
 * never is such a source, for it has no memory of its own.
 */
function takeOver(tensor: GraphTensor, stateOf: (tensor: GraphTensor) => State): number | undefined {
  for (const source of tensor.sources) {
    const state = stateOf(source)
    if (!state.allocated || source.output || state.children !== 1 || state.views !== 0 || !sameLayout(tensor, source)) continue
    state.allocated = false
    return state.offset
  }
  return undefined
}

function sameLayout(a: GraphTensor, b: GraphTensor): boolean {
  return a.dimensions.every((size, at) => size === b.dimensions[at]) && a.strides.every((stride, at) => stride === b.strides[at])
}

interface Heap {
  take(sizeBytes: number): number
  give(offset: number, sizeBytes: number): void
  /** The furthest that memory was ever taken. */
  most(): number
}

function createHeap(): Heap {
  const free: Free[] = [{ offset: 0, size: Number.POSITIVE_INFINITY }]
  const padded = (size: number): number => Math.ceil(size / alignment) * alignment
  let most = 0
  return {
    take(sizeBytes) {
      const size = padded(sizeBytes)
      // The smallest gap that will do, the last of several; the end only where there is none.
      const gaps = free.slice(0, -1).filter((gap) => gap.size >= size)
      const smallest = Math.min(...gaps.map((gap) => gap.size))
      const gap = gaps.findLast((candidate) => candidate.size === smallest) ?? (free.at(-1) as Free)
      const { offset } = gap
      gap.offset += size
      gap.size -= size
      if (gap.size === 0) free.splice(free.indexOf(gap), 1)
      most = Math.max(most, offset + size)
      return offset
    },
    give(offset, sizeBytes) {
      const size = padded(sizeBytes)
      if (size === 0) return
      const at = free.findIndex((gap) => gap.offset > offset)
      const before = free[at - 1]
      const after = free[at] as Free
      const joinsBefore = before !== undefined && before.offset + before.size === offset
      const joinsAfter = offset + size === after.offset
      if (joinsBefore) before.size += size + (joinsAfter ? after.size : 0)
      if (joinsBefore && joinsAfter) free.splice(at, 1)
      if (!joinsBefore && joinsAfter) Object.assign(after, { offset, size: after.size + size })
      if (!joinsBefore && !joinsAfter) free.splice(at, 0, { offset, size })
    },
    most: () => most,
  }
}
