import type { Device } from '../protocol.js'
import type { Llama } from './binding.js'

/** enum ggml_backend_dev_type */
const kinds = ['cpu', 'gpu', 'integrated', 'accelerator', 'meta'] as const

/** Lists the devices of this build of llama.cpp, with their memory. */
export function devices(llama: Llama): Device[] {
  return Array.from({ length: llama.deviceCount() }, (_, index) => {
    const device = llama.deviceAt(index)
    const free = new BigUint64Array(1)
    const total = new BigUint64Array(1)
    llama.deviceMemory(device, free, total)
    return {
      name: llama.deviceName(device) ?? '',
      description: llama.deviceDescription(device) ?? '',
      kind: kinds[llama.deviceType(device)] ?? 'meta',
      freeBytes: Number(free[0]),
      totalBytes: Number(total[0]),
    }
  })
}
