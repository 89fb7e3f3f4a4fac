/** Four dimensions, the row first, as ggml has them. */
export type Dimensions = readonly [number, number, number, number]

/** One tensor of a compute graph, for what its memory depends on and nothing else. */
export interface GraphTensor {
  readonly dimensions: Dimensions
  /** Bytes from one element to the next in each dimension. */
  readonly strides: Dimensions
  readonly sizeBytes: number
  /** What it is computed from, without weights and caches, which lie elsewhere. */
  readonly sources: readonly GraphTensor[]
  /** Whether ggml may write the result over one of the sources. */
  readonly inPlace: boolean
  /** The tensor whose memory it shows, at the end of any chain of views. */
  readonly viewOf?: GraphTensor
  /** Memory that is not the graph's: a weight or the KV cache, of which only views are in the graph. */
  readonly external: boolean
  /** Filled before the graph runs, and there from the start. */
  readonly input: boolean
  /** Read after the graph has run: never freed and never written over. */
  output: boolean
}

/** A graph as it is built: `expand` puts a tensor and what it needs into the order of computation. */
export interface Graph {
  readonly inputs: readonly GraphTensor[]
  readonly nodes: readonly GraphTensor[]
  /** Depth first, sources from left to right, as ggml_build_forward_expand. */
  expand(tensor: GraphTensor): void
}

/** An empty graph: tensors are added in the order in which llama.cpp computes them. */
export function createGraph(): Graph {
  const inputs: GraphTensor[] = []
  const nodes: GraphTensor[] = []
  const seen = new Set<GraphTensor>()
  const expand = (tensor: GraphTensor): void => {
    if (seen.has(tensor)) return
    seen.add(tensor)
    for (const source of tensor.sources) expand(source)
    if (tensor.input) inputs.push(tensor)
    else nodes.push(tensor)
  }
  return { inputs, nodes, expand }
}

/** Values that are given to the graph: token numbers, positions, masks. */
export function input(elementBytes: number, ...dimensions: readonly number[]): GraphTensor {
  return { ...stored(elementBytes, dimensions), input: true }
}

/** A result with memory of its own. */
export function compute(dimensions: readonly number[], ...sources: readonly GraphTensor[]): GraphTensor {
  return { ...stored(4, dimensions), sources }
}

/** A result in half precision of what lies outside the graph. */
export function half(dimensions: readonly number[]): GraphTensor {
  return stored(2, dimensions)
}

/** A result of the first source's shape that may be written over a source which nothing else reads. */
export function elementwise(first: GraphTensor, ...others: readonly GraphTensor[]): GraphTensor {
  return { ...stored(4, first.dimensions), sources: [first, ...others], inPlace: true }
}

/** Rows written into a cache: no memory of the graph's. */
export function store(...sources: readonly GraphTensor[]): GraphTensor {
  return { ...stored(4, [0]), sources, external: true }
}

/** The same memory seen in another way. Strides are those of whole rows unless given. */
export function view(source: GraphTensor, dimensions: readonly number[], strides?: Dimensions): GraphTensor {
  const shape = four(dimensions)
  return {
    ...stored(4, shape),
    strides: strides ?? contiguous(4, shape),
    sizeBytes: 0,
    sources: [source],
    viewOf: source.viewOf ?? source,
  }
}

/** A view with the second and third dimension exchanged. */
export function swapMiddle(source: GraphTensor): GraphTensor {
  const [a, b, c, d] = source.dimensions
  const [sa, sb, sc, sd] = source.strides
  return view(source, [a, c, b, d], [sa, sc, sb, sd])
}

function stored(elementBytes: number, dimensions: readonly number[]): GraphTensor {
  const shape = four(dimensions)
  return {
    dimensions: shape,
    strides: contiguous(elementBytes, shape),
    sizeBytes: elementBytes * shape[0] * shape[1] * shape[2] * shape[3],
    sources: [],
    inPlace: false,
    external: false,
    input: false,
    output: false,
  }
}

function four([a = 1, b = 1, c = 1, d = 1]: readonly number[]): Dimensions {
  return [a, b, c, d]
}

function contiguous(elementBytes: number, [a, b, c]: Dimensions): Dimensions {
  return [elementBytes, elementBytes * a, elementBytes * a * b, elementBytes * a * b * c]
}
