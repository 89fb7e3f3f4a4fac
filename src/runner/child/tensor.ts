import koffi from 'koffi'
import type { Address, Ggml } from './binding.js'
import { tensorLayout } from './structs.js'

/** A ggml_tensor in llama.cpp's memory, valid while the graph that it belongs to is. */
export interface NativeTensor {
  readonly address: Address
  /** enum ggml_op */
  readonly operation: number
  /** enum ggml_type */
  readonly type: number
  /** As ggml counts: dimensions[0] is the row length. */
  readonly dimensions: readonly [number, number, number, number]
  /** Bytes from one entry of a dimension to the next. */
  readonly strides: readonly [number, number, number, number]
  readonly name: string
  readonly buffer: Address
  readonly data: Address
  source(index: number): NativeTensor
}

const names = new TextDecoder()

/** Reads a tensor's parts where they lie, each when it is asked for. */
export function tensorAt(address: Address): NativeTensor {
  const view = new DataView(koffi.view(address, tensorLayout.sizeBytes))
  const four = (offset: number): readonly [number, number, number, number] => [
    Number(view.getBigInt64(offset, true)),
    Number(view.getBigInt64(offset + 8, true)),
    Number(view.getBigInt64(offset + 16, true)),
    Number(view.getBigInt64(offset + 24, true)),
  ]
  const pointer = (offset: number): Address => view.getBigUint64(offset, true)
  return {
    address,
    get operation() {
      return view.getInt32(tensorLayout.op, true)
    },
    get type() {
      return view.getInt32(tensorLayout.type, true)
    },
    get dimensions() {
      return four(tensorLayout.ne)
    },
    get strides() {
      return four(tensorLayout.nb)
    },
    get name() {
      const bytes = new Uint8Array(view.buffer, tensorLayout.name, tensorLayout.nameBytes)
      const end = bytes.indexOf(0)
      return names.decode(bytes.subarray(0, end < 0 ? bytes.length : end))
    },
    get buffer() {
      return pointer(tensorLayout.buffer)
    },
    get data() {
      return pointer(tensorLayout.data)
    },
    source: (index) => tensorAt(pointer(tensorLayout.src + 8 * index)),
  }
}

/** The values of a tensor of 32-bit numbers, strides and all: in place where this processor can reach them, else a copy. */
export function bytesOf(ggml: Ggml, tensor: NativeTensor): ArrayBuffer {
  const { dimensions, strides } = tensor
  const sizeBytes = dimensions.reduce((sum, count, index) => sum + (count - 1) * (strides[index] as number), 4)
  if (ggml.bufferIsHost(tensor.buffer)) return koffi.view(tensor.data, sizeBytes)
  const copy = new Uint8Array(sizeBytes)
  ggml.tensorGet(tensor.address, copy, 0, sizeBytes)
  return copy.buffer
}
