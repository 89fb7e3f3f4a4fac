import { stat } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { MqError } from '../errors/index.js'
import { buffersOf, modelShape } from '../footprint/index.js'
import { makeBlueprint } from '../model/index.js'
import { findLocalModel, listRegistry } from '../registry/index.js'
import type { LlamaModel } from '../runner/index.js'
import { Refusal } from './answers.js'
import type { ModelSource } from './pool.js'

/** Loads a model with the options that the server was started with. */
export type Load = (path: string, signal: AbortSignal) => Promise<LlamaModel>

/** Bytes of memory that this process may use: of its control group, where there is a limit, else of the machine. */
export function availableMemory(): number {
  const limit = process.constrainedMemory()
  return limit > 0 && limit < totalmem() ? limit : totalmem()
}

/** One model, by whatever name it is asked for, as llama-server has it. */
export function singleModel(name: string, path: string, load: Load): ModelSource {
  return {
    list: async () => [{ name }],
    find: async () => ({ name, path }),
    load,
    extraBytes: async () => 0,
  }
}

/** The GGUF models of a registry's folder, by name, the default tag included. */
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

/** KV cache and compute buffer of a file; of an architecture whose footprint is not known, a tenth of the file. */
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
