import koffi from 'koffi'
import type { Address, Llama } from './binding.js'

/** llama.cpp's expression for routed experts. Source: LLM_FFN_EXPS_REGEX in common/common.h of v0.5.0. */
const experts = String.raw`\.ffn_(up|down|gate|gate_up)_(ch|)exps`

/**
 * Address of llama.cpp's list of tensors that stay on the processor: the routed experts of the first layers, as --n-cpu-moe has it. Its
 * memory is kept until the process ends, as is the model. @returns 0, for no list, where there are none.
 */
export function expertsOnProcessor(llama: Llama, layers: number): Address {
  if (layers <= 0) return 0n
  const buffer = llama.cpuBufferType()
  const pointer = koffi.alloc('uint64_t', 2 * (layers + 1)) as bigint
  const list = new BigUint64Array(koffi.view(pointer, 16 * (layers + 1)))
  for (let layer = 0; layer < layers; layer += 1) {
    list[2 * layer] = textAt(String.raw`blk\.${layer}${experts}`)
    list[2 * layer + 1] = koffi.address(buffer)
  }
  // ended by a pattern that is null
  list.fill(0n, 2 * layers)
  return koffi.address(pointer)
}

function textAt(text: string): Address {
  const bytes = Buffer.from(`${text}\0`)
  const pointer = koffi.alloc('uint8_t', bytes.byteLength) as bigint
  new Uint8Array(koffi.view(pointer, bytes.byteLength)).set(bytes)
  return koffi.address(pointer)
}
