import type { LoadedModel } from './model.js'

/** Properties of a model that determine thread counts. */
export interface Sized {
  readonly info: Pick<LoadedModel['info'], 'parameters' | 'sizeBytes' | 'vocabulary'>
  readonly options: Pick<LoadedModel['options'], 'threads' | 'gpuLayers'> & { readonly exactThreads?: boolean }
}

/**
 * ggml's threads meet at a spinning barrier after every node of the graph. Where a node is little work, or other processes take the
 * cores, they wait rather than work: two threads took 150 times as long as one over a model of 4 M parameters on two busy cores.
 * So a thread is given only where there is enough for it, by sizes and never by the clock, so that runs are repeatable.
 */
const parametersPerThread = 16e6
const bytesPerThread = 64 * 2 ** 20

/** Logits of all lanes together. */
const logitBytes = 2 ** 30
const maxLanes = 16

/** Returns the threads for decoding one token at a time, which is limited by memory bandwidth. */
export function generationThreads({ info, options }: Sized): number {
  return options.exactThreads === true ? options.threads : clamp(Math.ceil(info.sizeBytes / bytesPerThread), options.threads)
}

/** Returns the threads for decoding many tokens together, which share the reads of the weights. */
export function promptThreads({ info, options }: Sized): number {
  return options.exactThreads === true
    ? options.threads
    : clamp(Math.ceil(info.parameters / parametersPerThread), options.threads)
}

/**
 * How many contexts decode side by side, and with how many threads each: small models in many lanes that need not wait for each other,
 * large ones in one.
 * @param groups batches that there are to decode. @param outputs tokens of a batch that have logits, at most.
 */
export function planLanes(
  { info, options }: Sized,
  { groups, outputs }: { readonly groups: number; readonly outputs: number },
): { readonly lanes: number; readonly threads: number } {
  if (options.gpuLayers > 0) return { lanes: 1, threads: options.threads }
  const threads = promptThreads({ info, options })
  const affordable = Math.floor(logitBytes / (4 * info.vocabulary * outputs))
  const lanes = clamp(Math.min(Math.floor(options.threads / threads), groups, affordable), maxLanes)
  return { lanes, threads }
}

function clamp(value: number, max: number): number {
  return Math.max(1, Math.min(value, max))
}
