import { alignUp } from '../../formats/align-up.js'
import type { Graph, GraphTensor } from './graph.js'

const alignment = 32

/** A stretch of free memory between others. */
interface Gap {
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
  const gaps: Gap[] = []
  /** Where the memory begins that was never taken, or given back with all behind it. */
  let end = 0
  let most = 0
  return {
    take(sizeBytes) {
      const size = padded(sizeBytes)
      // The smallest gap that will do, the last of several.
      const fitting = gaps.filter((gap) => gap.size >= size)
      const smallest = Math.min(...fitting.map((gap) => gap.size))
      const gap = fitting.findLast((candidate) => candidate.size === smallest)
      if (gap === undefined) {
        end += size
        most = Math.max(most, end)
        return end - size
      }
      const { offset } = gap
      gap.offset += size
      gap.size -= size
      if (gap.size === 0) gaps.splice(gaps.indexOf(gap), 1)
      return offset
    },
    give(offset, sizeBytes) {
      const size = padded(sizeBytes)
      const found = gaps.findIndex((gap) => gap.offset > offset)
      const at = found < 0 ? gaps.length : found
      gaps.splice(at, 0, { offset, size })
      join(gaps, at)
      join(gaps, at - 1)
      const last = gaps.at(-1)
      if (last === undefined || last.offset + last.size !== end) return
      end = last.offset
      gaps.pop()
    },
    most: () => most,
  }
}

/** Makes one gap of the one at this place and the next, where they touch. */
function join(gaps: Gap[], at: number): void {
  const [gap, next] = [gaps[at], gaps[at + 1]]
  if (gap === undefined || next === undefined || gap.offset + gap.size !== next.offset) return
  gap.size += next.size
  gaps.splice(at + 1, 1)
}

function padded(sizeBytes: number): number {
  return alignUp(sizeBytes, alignment)
}
