import { open } from 'node:fs/promises'
import { join } from 'node:path'
import koffi from 'koffi'
import { type GgufLayout, layoutGguf, type Metadata } from '../../formats/gguf/index.js'
import type { CacheType } from '../../src/footprint/index.js'
import type { BlueprintTensor } from '../../src/model/blueprint.js'
import { findLibraries, librariesIn } from '../../src/runner/libraries.js'

/** What llama.cpp says of a context that it would make, in bytes, as precise as two digits after the point of a MiB. */
export interface ReportedBuffers {
  readonly modelBytes: number
  readonly kvCacheBytes: number
  readonly computeBytes: number
  readonly outputBytes: number
}

export interface LlamaBuffers {
  /** Lays out contexts of a model without allocating them: only the file's header is read. */
  report(path: string, contexts: readonly ContextRequest[]): ReportedBuffers[]
}

export interface ContextRequest {
  readonly context: number
  readonly flashAttention?: boolean
  readonly cacheType?: CacheType
  readonly batch?: number
}

/** enum ggml_type */
const typeIds = { F16: 1, Q4_0: 2, Q8_0: 8 } as const

function load(): LlamaBuffers | undefined {
  let folder: string
  try {
    folder = findLibraries()
  } catch {
    return undefined
  }
  koffi.config({ sync_stack_size: 2 ** 24, async_stack_size: 2 ** 24 })
  const [, ggml, llama] = (librariesIn(folder)?.files ?? []).map((file) => koffi.load(join(folder, file), { global: true }))
  if (ggml === undefined || llama === undefined) return undefined
  ggml.func('void ggml_backend_load_all_from_path(const char *folder)')(folder)
  for (const [name, bytes] of Object.entries({ buffers_model_params: 80, buffers_context_params: 160 })) {
    koffi.struct(name, { bytes: [8, koffi.array('uint8_t', bytes, 'Typed')] })
  }
  let log = ''
  const callback = koffi.proto('void buffers_log(int level, const char *text, void *user)')
  const heard = koffi.register((_level: number, text: string) => {
    log += text
  }, koffi.pointer(callback))
  llama.func('void llama_log_set(buffers_log *callback, void *user)')(heard, null)
  llama.func('void llama_backend_init()')()
  const modelParams = llama.func('buffers_model_params llama_model_default_params()')
  const contextParams = llama.func('buffers_context_params llama_context_default_params()')
  const openModel = llama.func('void *llama_model_load_from_file(const char *path, buffers_model_params params)')
  const openContext = llama.func('void *llama_init_from_model(void *model, buffers_context_params params)')
  const freeContext = llama.func('void llama_free(void *context)')
  const freeModel = llama.func('void llama_model_free(void *model)')
  const modelBytes = llama.func('uint64_t llama_model_size(void *model)')
  const figure = (pattern: RegExp): number => Math.round(Number(pattern.exec(log)?.[1] ?? Number.NaN) * 2 ** 20)

  return {
    report(path, contexts) {
      const params = modelParams()
      const view = new DataView(params.bytes.buffer, params.bytes.byteOffset)
      view.setInt32(16, 0, true) // n_gpu_layers
      view.setInt32(24, 0, true) // load_mode: none
      view.setUint8(74, 0) // use_extra_bufts
      view.setUint8(76, 1) // no_alloc
      log = ''
      const model = openModel(path, params)
      if (model === null) throw new Error(`llama.cpp does not take ${path}: ${log.slice(-500)}`)
      try {
        return contexts.map(({ context, flashAttention = true, cacheType = 'F16', batch = 512 }) => {
          const params = contextParams()
          const fields = new DataView(params.bytes.buffer, params.bytes.byteOffset)
          fields.setUint32(0, context, true)
          fields.setUint32(8, batch, true) // n_ubatch
          fields.setInt32(52, flashAttention ? 1 : 0, true)
          fields.setInt32(104, typeIds[cacheType], true)
          fields.setInt32(108, typeIds[cacheType], true)
          log = ''
          const made = openContext(model, params)
          if (made === null) throw new Error(`llama.cpp makes no context: ${log.slice(-500)}`)
          freeContext(made)
          return {
            modelBytes: Number(modelBytes(model)),
            kvCacheBytes: figure(/ size =\s*([\d.]+) MiB \(\s*\d+ cells/),
            computeBytes: figure(/CPU compute buffer size =\s*([\d.]+)/),
            outputBytes: figure(/output buffer size =\s*([\d.]+)/),
          }
        })
      } finally {
        freeModel(model)
      }
    },
  }
}

/** llama.cpp's own reckoning; undefined where its package is not installed. */
export const llamaBuffers = load()

/** A GGUF file of the right length whose weights are a hole: what llama.cpp needs to lay out a model. Weights are Q8_0 or F32. */
export async function writeHollowGguf(
  path: string,
  metadata: Metadata,
  tensors: readonly Pick<BlueprintTensor, 'name' | 'shape' | 'keepF32'>[],
): Promise<GgufLayout> {
  const layout = layoutGguf(
    metadata,
    tensors.map(({ name, shape, keepF32 }) => ({
      name,
      type: keepF32 ? 'F32' : 'Q8_0',
      dimensions: shape.toReversed(),
    })),
  )
  const file = await open(path, 'w')
  try {
    await file.write(layout.header)
    await file.truncate(layout.fileBytes)
  } finally {
    await file.close()
  }
  return layout
}
