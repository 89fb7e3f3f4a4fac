import type { Blueprint } from '../model/index.js'
import { type Buffers, type TensorSize, weightsBytes } from './footprint.js'
import type { ModelShape } from './model-shape.js'

/** GPU offload of a model, with llama.cpp's options for it. */
export interface Placement {
  /** Flags of llama-server and llama-cli. */
  readonly flags: string
  /** The same experts by name, for tools that know only --override-tensor; absent where none stay behind. */
  readonly override?: string
  readonly gpuBytes: number
  /** Bytes that stay in main memory. */
  readonly cpuBytes: number
  /** Layers of which everything but routed experts left behind is on the GPU; the output counts as one. */
  readonly gpuLayers: number
  /** Layers, from the first, whose routed experts stay behind. */
  readonly cpuExpertLayers: number
}

/** One offload of a model, by llama.cpp's options. */
interface Way {
  readonly gpuLayers: number
  readonly cpuExpertLayers: number
}

/**
 * The way to place a plan's model that leaves least behind, within the memory of a GPU: everything; else, of a mixture of experts, the
 * routed experts of the first layers stay behind, for of these each token reads few; else whole layers stay behind, the first ones.
 * The embedding always stays, as in llama.cpp. Experts left behind are copied to the GPU for long prompts (llama.cpp's op offload): room
 * for those of one layer is kept. The compute buffer is estimated as on one device. Not measured on a GPU.
 * @returns undefined where not even one layer fits.
 */
export function placeOnGpu(
  blueprint: Pick<Blueprint, 'layers'>,
  tensors: readonly TensorSize[],
  shape: ModelShape,
  buffers: Buffers,
  gpuBytes: number,
): Placement | undefined {
  const { layers } = blueprint
  const isMixture = shape.experts !== undefined
  const ways: Way[] = [
    ...Array.from({ length: isMixture ? layers + 1 : 1 }, (_, cpuExpertLayers) => ({ gpuLayers: layers + 1, cpuExpertLayers })),
    ...Array.from({ length: layers }, (_, less) => ({ gpuLayers: layers - less, cpuExpertLayers: isMixture ? layers : 0 })),
  ]
  const total = weightsBytes({ tensors }) + buffers.kvCacheBytes + buffers.computeBytes + buffers.outputBytes
  for (const way of ways) {
    const needed = bytesOnGpu(tensors, layers, buffers, way)
    if (needed > gpuBytes) continue
    const { gpuLayers, cpuExpertLayers } = way
    const moves = [
      `-ngl ${gpuLayers > layers ? 'all' : gpuLayers}`,
      ...(cpuExpertLayers === 0 ? [] : cpuExpertLayers === layers ? ['--cpu-moe'] : [`--n-cpu-moe ${cpuExpertLayers}`]),
    ]
    const copied = cpuExpertLayers > 0 ? largestExperts(tensors, cpuExpertLayers) : 0
    return {
      flags: moves.join(' '),
      override: cpuExpertLayers > 0 ? overrideOf(cpuExpertLayers, layers) : undefined,
      gpuBytes: needed,
      cpuBytes: total - (needed - copied),
      ...way,
    }
  }
  return undefined
}

function bytesOnGpu(
  tensors: readonly TensorSize[],
  layers: number,
  buffers: Buffers,
  { gpuLayers, cpuExpertLayers }: Way,
): number {
  const first = layers + 1 - gpuLayers
  const hasOutput = tensors.some(({ role }) => role === 'output')
  const there = tensors.filter(({ role, layer }) => {
    // Without an output of its own, the embedding is there a second time.
    if (layer === undefined) return role !== 'embedding' || !hasOutput
    return layer >= first && !(role.startsWith('expert-') && layer < cpuExpertLayers)
  })
  const cache = (buffers.kvCacheBytes * Math.min(gpuLayers - (gpuLayers > layers ? 1 : 0), layers)) / layers
  const copied = cpuExpertLayers > 0 ? largestExperts(tensors, cpuExpertLayers) : 0
  return weightsBytes({ tensors: there }) + Math.ceil(cache) + buffers.computeBytes + copied
}

/** The most bytes that the routed experts of one layer take. */
function largestExperts(tensors: readonly TensorSize[], below: number): number {
  const sizes = new Map<number, number>()
  for (const { role, layer, sizeBytes } of tensors) {
    if (layer === undefined || layer >= below || !role.startsWith('expert-')) continue
    sizes.set(layer, (sizes.get(layer) ?? 0) + sizeBytes)
  }
  return Math.max(0, ...sizes.values())
}

/** llama.cpp's own expression for routed experts, for the first layers where it is not for all. */
function overrideOf(cpuExpertLayers: number, layers: number): string {
  const experts = String.raw`\.ffn_(up|down|gate|gate_up)_(ch|)exps`
  if (cpuExpertLayers === layers) return `-ot "${experts}=CPU"`
  return `-ot "${String.raw`blk\.`}(${below(cpuExpertLayers)})${experts}=CPU"`
}

/** A regular expression for the whole numbers below this one, up to 99: `\d|[1-4]\d|5[0-8]` for 59. */
function below(count: number): string {
  const [tens, ones] = [Math.floor(count / 10), count % 10]
  if (tens > 9) return Array.from({ length: count }, (_, layer) => layer).join('|')
  const upTo = (last: number): string => (last === 0 ? '0' : `[0-${last}]`)
  return [
    ...(tens === 0 ? [] : [String.raw`\d`]),
    ...(tens > 1 ? [`[1-${tens - 1}]${String.raw`\d`}`] : []),
    ...(ones === 0 ? [] : [`${tens === 0 ? '' : tens}${upTo(ones - 1)}`]),
  ].join('|')
}
