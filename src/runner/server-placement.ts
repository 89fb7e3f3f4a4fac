import { flagOf } from './llama-program.js'
import type { LoadOptions } from './options.js'

/** How llama-server is told where a model's parts lie. */
export interface ServerPlacement {
  readonly args: readonly string[]
  /** Environment variables, for what versions of llama-server name differently: they pass over variables that they do not know. */
  readonly env: Readonly<Record<string, string>>
}

/**
 * Returns flags and variables of llama-server for the placement of a model. --no-mmap, which 0.7.0 no longer takes, is told by the
 * variables of both versions.
 */
export function serverPlacement(load: LoadOptions): ServerPlacement {
  const { threads, gpuLayers, cpuExpertLayers, flashAttention, keyType, valueType, mmap, pooling } = load
  const args = [
    ...flagOf('--threads', threads),
    ...flagOf('--gpu-layers', gpuLayers === -1 ? 'all' : gpuLayers),
    ...(cpuExpertLayers === undefined || cpuExpertLayers === 0 ? [] : ['--n-cpu-moe', String(cpuExpertLayers)]),
    ...flagOf('--flash-attn', flashAttention),
    ...flagOf('--cache-type-k', keyType),
    ...flagOf('--cache-type-v', valueType),
    ...(pooling === undefined ? [] : pooling === 'rank' ? ['--rerank'] : ['--embeddings', '--pooling', pooling]),
  ]
  return { args, env: mmap === false ? { LLAMA_ARG_LOAD_MODE: 'none', LLAMA_ARG_NO_MMAP: '1', LLAMA_ARG_MMAP: '0' } : {} }
}
