import { existsSync } from 'node:fs'
import { MqError } from './errors/index.js'
import { pullGguf } from './hub/index.js'
import type { WithProgress } from './progress/index.js'
import { defaultRegistryDirectory, findLocalModel } from './registry/index.js'

/** Where a model to run is looked for. */
export interface LocateOptions {
  /** Address of a registry. Without it: $MQ_ENDPOINT, $HF_ENDPOINT, else the registry's folder on this machine, else its server. */
  readonly endpoint?: string
  /** Folder of a registry on this machine, to the exclusion of all others. */
  readonly registry?: string
  readonly signal?: AbortSignal
}

/**
 * Finds a model to run: a file where there is one or the name looks like one; else what a registry has under that name, without a server
 * where its folder is on this machine, and without a network where it is in the cache.
 * @throws MqError NAME_INVALID, MODEL_NOT_FOUND, REGISTRY_CORRUPT, and those of pulling.
 */
export async function* locateModel(name: string, options: LocateOptions = {}): WithProgress<{ path: string }> {
  if (existsSync(name) || name.endsWith('.gguf')) return { path: name }
  const { registry } = options
  const elsewhere = options.endpoint ?? (process.env['MQ_ENDPOINT'] || process.env['HF_ENDPOINT'])
  const folder = registry ?? (elsewhere ? undefined : defaultRegistryDirectory())
  if (folder !== undefined) {
    const path = await findIn(folder, name, registry !== undefined)
    if (path !== undefined) return { path }
    if (registry !== undefined) throw MqError.of('MODEL_NOT_FOUND', { name, registry: folder })
  }
  try {
    return yield* pullGguf(name, options)
  } catch (error) {
    if (folder === undefined || MqError.from(error).code !== 'NETWORK') throw error
    throw MqError.of('MODEL_NOT_FOUND', { name, registry: folder }, { cause: error })
  }
}

/** Names of a hub, such as those with a revision, are none of a registry; unless it was asked for, that is no error. */
async function findIn(folder: string, name: string, strict: boolean): Promise<string | undefined> {
  try {
    return await findLocalModel(name, folder)
  } catch (error) {
    if (!strict && MqError.from(error).code === 'NAME_INVALID') return undefined
    throw error
  }
}
