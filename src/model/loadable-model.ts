import type { WithProgress } from '../progress/index.js'

/** A model that llama.cpp can load, and how to clear away what was made for it. */
export interface LoadableModel {
  /** A GGUF file. */
  readonly path: string
  dispose(): Promise<void>
}

/**
 * Turns a checkpoint folder or GGUF file into a GGUF that llama.cpp can load. Steps below `quantize` are handed one, since they run models
 * and do not write them.
 * @param stage what to call the conversion while it runs.
 * @param options lora: adapters to merge, as in BlueprintOptions.
 */
export type ToGguf = (
  path: string,
  stage: string,
  options: { readonly threads?: number; readonly signal?: AbortSignal; readonly lora?: readonly string[] | undefined },
) => WithProgress<LoadableModel>
