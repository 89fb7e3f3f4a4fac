import { stat } from 'node:fs/promises'
import { openGguf } from '../formats/gguf/index.js'
import { buffersOf, type CacheType, cacheTypes, modelShape, placeOnGpu } from './footprint/index.js'
import { makeBlueprint } from './model/index.js'
import { type Device, findLibraries, type LlamaModel, type LoadOptions, listDevices, loadModel } from './runner/index.js'

/** GPU memory that stays free, in bytes: for the driver, the display, and the error of the estimate. */
const leftFree = 512 * 2 ** 20

/** Number of layers on the GPU, and of layers whose routed experts stay in main memory. */
export interface Offload {
  readonly gpuLayers: number
  readonly cpuExpertLayers: number
  /** The GPU it was fitted to. */
  readonly device?: Device
}

/**
 * Loads a model with GPU offload: where `gpuLayers` is not given, as many layers as the free memory of the GPU holds, by the estimates of
 * `mq plan`. Without a GPU, or a build of llama.cpp for one, all stays on the processor.
 * @param onNote is told where layers were asked for on a GPU and there is none.
 * @throws MqError as loadModel.
 */
export async function loadWithOffload(
  path: string,
  options: LoadOptions = {},
  onNote: (note: string) => void = () => undefined,
): Promise<LlamaModel> {
  const { gpuLayers, cpuExpertLayers } = await chooseOffload(path, options)
  const model = await loadModel(path, { ...options, gpuLayers, cpuExpertLayers })
  if (gpuLayers !== 0 && model.info.gpus.length === 0)
    onNote('llama.cpp finds no GPU, so all layers stay on the processor; `mq doctor` shows what is installed.')
  return model
}

/** Chooses the GPU offload of a model. @throws MqError LLAMA_MISSING, LLAMA_VERSION, FILE_MISSING. */
export async function chooseOffload(path: string, options: LoadOptions): Promise<Offload> {
  const { gpuLayers, cpuExpertLayers, libraries = findLibraries(), signal } = options
  if (gpuLayers !== undefined) return { gpuLayers, cpuExpertLayers: cpuExpertLayers ?? 0 }
  const none = { gpuLayers: 0, cpuExpertLayers: cpuExpertLayers ?? 0 }
  // Plain builds know no GPU, but for Metal.
  if (!/cuda|vulkan|metal/.test(libraries)) return none
  const { devices } = await listDevices(libraries, signal)
  const device = devices
    .filter(({ kind }) => kind === 'gpu' || kind === 'integrated')
    .toSorted((a, b) => b.freeBytes - a.freeBytes)[0]
  if (device === undefined) return none
  const fitted = await fit(path, options, device.freeBytes - leftFree)
  return { gpuLayers: fitted.gpuLayers, cpuExpertLayers: cpuExpertLayers ?? fitted.cpuExpertLayers, device }
}

async function fit(path: string, options: LoadOptions, bytes: number): Promise<Omit<Offload, 'device'>> {
  const { contextLength = 4096, slots = 1, keyType = 'f16' } = options
  const file = await openGguf(path)
  const sizes = new Map(file.tensors.map(({ name, start, end }) => [name, end - start]))
  await file.close()
  const blueprint = await makeBlueprint(path).catch(() => undefined)
  const shape = blueprint === undefined ? undefined : modelShape(blueprint)
  if (blueprint === undefined || shape === undefined) {
    // What it needs besides its weights is not known: a quarter more than the file.
    const { size } = await stat(path)
    const total = 1.25 * [...sizes.values()].reduce((sum, one) => sum + one, 0)
    return { gpuLayers: Math.max(size, total) <= bytes ? -1 : 0, cpuExpertLayers: 0 }
  }
  const tensors = blueprint.tensors.map(({ name, role, layer }) => ({ name, role, layer, sizeBytes: sizes.get(name) ?? 0 }))
  const cacheType = cacheTypes.find((type) => type.toLowerCase() === keyType) ?? ('F16' satisfies CacheType)
  const buffers = buffersOf(shape, { context: contextLength * slots, cacheType })
  const placed = placeOnGpu(blueprint, tensors, shape, buffers, bytes)
  return { gpuLayers: placed?.gpuLayers ?? 0, cpuExpertLayers: placed?.cpuExpertLayers ?? 0 }
}
