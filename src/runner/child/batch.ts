import koffi from 'koffi'
import type { Address } from './binding.js'
import { batchFields, type StructValue, setFields, structs } from './structs.js'

/** Tokens to decode together, in memory that llama.cpp reads in place. Lives as long as its context; free() it. */
export class TokenBatch {
  readonly capacity: number
  readonly #addresses: readonly bigint[]
  readonly #tokens: Int32Array
  readonly #positions: Int32Array
  readonly #sequences: BigUint64Array
  readonly #outputs: Int8Array
  readonly #sequenceIds: bigint
  readonly #struct: StructValue
  #length = 0

  constructor(capacity: number, sequences: number) {
    this.capacity = capacity
    const tokens = allocate('int32_t', capacity, 4)
    const positions = allocate('int32_t', capacity, 4)
    const sequenceCounts = allocate('int32_t', capacity, 4)
    const sequencePointers = allocate('uint64_t', capacity, 8)
    const outputs = allocate('int8_t', capacity, 1)
    const sequenceIds = allocate('int32_t', sequences, 4)
    this.#addresses = [tokens, positions, sequenceCounts, sequencePointers, outputs, sequenceIds].map(({ address }) => address)
    this.#tokens = new Int32Array(tokens.memory)
    this.#positions = new Int32Array(positions.memory)
    this.#sequences = new BigUint64Array(sequencePointers.memory)
    this.#outputs = new Int8Array(outputs.memory)
    this.#sequenceIds = sequenceIds.address
    new Int32Array(sequenceCounts.memory).fill(1)
    new Int32Array(sequenceIds.memory).forEach((_, index, ids) => {
      ids[index] = index
    })
    this.#struct = setFields({ bytes: new Uint8Array(structs.llama_batch) }, batchFields, {
      token: tokens.address,
      pos: positions.address,
      n_seq_id: sequenceCounts.address,
      seq_id: sequencePointers.address,
      logits: outputs.address,
    })
  }

  /** Adds a token; `output` asks for the logits after it. Returns its index, by which `logitsAt` finds them. */
  add(token: number, position: number, sequence: number, output: boolean): number {
    const index = this.#length
    if (index >= this.capacity) throw new RangeError(`a batch holds ${this.capacity} tokens`)
    this.#tokens[index] = token
    this.#positions[index] = position
    this.#sequences[index] = this.#sequenceIds + 4n * BigInt(sequence)
    this.#outputs[index] = output ? 1 : 0
    this.#length += 1
    return index
  }

  /** Tokens in it. */
  get length(): number {
    return this.#length
  }

  clear(): void {
    this.#length = 0
  }

  /** The batch as `llama_decode` takes it. */
  get struct(): StructValue {
    return setFields(this.#struct, batchFields, { n_tokens: this.#length })
  }

  free(): void {
    for (const address of this.#addresses) koffi.free(address)
  }
}

function allocate(
  type: string,
  count: number,
  elementBytes: number,
): { readonly address: Address; readonly memory: ArrayBuffer } {
  const pointer = koffi.alloc(type, count) as bigint
  return { address: koffi.address(pointer), memory: koffi.view(pointer, count * elementBytes) }
}
