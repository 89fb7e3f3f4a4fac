import { access, constants } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { MqError } from '../errors/index.js'
import { connect, lastOf, Refused } from './connection.js'
import { readFileTraits } from './file-traits.js'
import { architecturesOf, knownSince } from './known-architectures.js'
import { findLibraries } from './libraries.js'
import { LlamaModel } from './model.js'
import type { LoadOptions } from './options.js'
import type { Hardware } from './protocol.js'
import { llamaVersion } from './version.js'

/** Messages of llama.cpp for failed memory allocations, which are no fault of the file. */
const memoryWords = /cannot allocate memory|failed to allocate|unable to allocate|bad_alloc|out of memory/i

/**
 * Loads a GGUF file (the first shard of a split one) into a process of its own.
 * @throws MqError FILE_MISSING, FILE_UNREADABLE; MODEL_REJECTED where llama.cpp does not take it; LLAMA_CRASHED where that ends it;
 *   LLAMA_MISSING, LLAMA_VERSION; INTERRUPTED.
 */
export async function loadModel(path: string, options: LoadOptions = {}): Promise<LlamaModel> {
  const { threads = availableParallelism(), exactThreads = false, contextLength, batch = 2048, mmap = true, signal } = options
  const { gpuLayers = 0, cpuExpertLayers = 0, slots = 1, flashAttention = 'auto', keyType = 'f16', valueType = 'f16' } = options
  const { libraries = findLibraries(), vocabularyOnly = false } = options
  await access(path, constants.R_OK).catch((error: unknown) => {
    throw MqError.from(error, path)
  })
  const { architecture, extraBuffers, ranks } = await readFileTraits(path)
  if (architecture !== undefined) checkArchitecture(path, architecture)
  const pooling = options.pooling ?? (ranks ? 'rank' : undefined)
  const request = {
    path: resolve(path),
    libraries,
    threads,
    exactThreads,
    slots,
    batch,
    mmap,
    extraBuffers,
    gpuLayers,
    cpuExpertLayers,
    flashAttention,
    keyType,
    valueType,
    vocabularyOnly,
    ...(contextLength !== undefined && { contextLength }),
    ...(pooling !== undefined && { pooling }),
  }
  const connection = connect(signal)
  try {
    const loading = connection.call('load', request, { did: 'loaded', what: path })
    return new LlamaModel(path, await lastOf(loading), connection)
  } catch (error) {
    const words = await connection.lastWords()
    if (!(error instanceof Refused)) throw error
    if (words !== undefined && memoryWords.test(words)) {
      throw MqError.of('LLAMA_CRASHED', { doing: `loaded ${path}`, problem: `memory is too short: ${words}` }, { cause: error })
    }
    throw MqError.of('MODEL_REJECTED', { file: path, problem: words ?? 'it does not say why' }, { cause: error })
  }
}

/**
 * Lists the devices of a build of llama.cpp, in a process of its own.
 * @throws MqError LLAMA_MISSING, LLAMA_VERSION, LLAMA_CRASHED; INTERRUPTED.
 */
export async function listDevices(libraries: string = findLibraries(), signal?: AbortSignal): Promise<Hardware> {
  const connection = connect(signal)
  try {
    return await lastOf(connection.call('devices', { libraries }, { did: 'looked at', what: 'the devices of this machine' }))
  } finally {
    await connection.close()
  }
}

/** Known before llama.cpp reads the weights, and with the version that would do. @throws MqError ARCHITECTURE_TOO_NEW */
function checkArchitecture(file: string, architecture: string): void {
  if (architecturesOf(llamaVersion).includes(architecture)) return
  const version = knownSince(architecture)
  // llama.cpp itself may know what is not listed here
  if (version !== undefined) throw MqError.of('ARCHITECTURE_TOO_NEW', { file, architecture, version, embedded: llamaVersion })
}
