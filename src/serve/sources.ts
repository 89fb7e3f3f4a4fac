import { stat } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { MqError } from '../errors/index.js'
import { buffersOf, modelShape } from '../footprint/index.js'
import { makeBlueprint } from '../model/index.js'
import { findLocalModel, listRegistry } from '../registry/index.js'
import type { LlamaModel } from '../runner/index.js'
import { Refusal } from './answers.js'
import type { ModelSource } from './pool.js'

/** Function that loads a model with the options of the server. */
export type Load = (path: string, signal: AbortSignal) => Promise<LlamaModel>

/** Returns the memory that this process may use, in bytes: the limit of its control group, else the memory of the machine. */
export function availableMemory(): number {
  const limit = process.constrainedMemory()
  return limit > 0 && limit < totalmem() ? limit : totalmem()
}

/** Source of one model, which answers to every name, as llama-server does. */
export function singleModel(name: string, path: string, load: Load): ModelSource {
  return {
    list: async () => [{ name }],
    find: async () => ({ name, path }),
    load,
    extraBytes: async () => 0,
  }
}

/** Source of the GGUF models of a registry's folder, by name; the default tag may be omitted. */
export function registryModels(registry: string, load: Load, tokens: number): ModelSource {
  return {
    async list() {
      const { models } = await listRegistry(registry)
      return models.filter(({ format }) => format === 'gguf').map(({ name, sizeBytes }) => ({ name, sizeBytes }))
    },
    async find(name) {
      if (name === undefined)
        throw new Refusal(400, 'invalid_request', 'model: it is needed; /v1/models lists them.', { param: 'model' })
      const path = await findLocalModel(name, registry)
      if (path === undefined) throw MqError.of('MODEL_NOT_FOUND', { name, registry: 'this registry' })
      return { name, path }
    },
    load,
    extraBytes: (path) => bytesBesideFile(path, tokens),
  }
}

/** Returns the size of KV cache and compute buffer, in bytes; for an architecture without a footprint, a tenth of the file. */
async function bytesBesideFile(path: string, tokens: number): Promise<number> {
  try {
    const shape = modelShape(await makeBlueprint(path))
    if (shape !== undefined) {
      const { kvCacheBytes, computeBytes, outputBytes } = buffersOf(shape, { context: tokens })
      return kvCacheBytes + computeBytes + outputBytes
    }
  } catch {
    // llama.cpp says what is wrong with it
  }
  return Math.ceil((await stat(path)).size / 10)
}
