import type { KvType, Pooling } from '../protocol.js'
import { TokenBatch } from './batch.js'
import { type Address, floatsAt, type Llama, offThread } from './binding.js'
import { LlamaRefusal } from './refusal.js'
import { contextFields, flashAttention as flashAttentions, kvTypes, poolingTypes, setFields } from './structs.js'

export interface ContextSize {
  /** Maximum tokens of each sequence. */
  readonly contextLength: number
  readonly sequences: number
  /** Maximum tokens of one decode. */
  readonly batch: number
  readonly threads: number
}

export interface ContextOptions extends ContextSize {
  /** Address of a registered ggml_backend_sched_eval_callback, to look at activations; absent: none. */
  readonly evalCallback?: Address
  /** Threads for more than one token; by default `threads`. */
  readonly batchThreads?: number
  /** Maximum tokens of a decode that have logits; by default all. */
  readonly outputs?: number
  readonly flashAttention?: keyof typeof flashAttentions
  readonly keyType?: KvType
  readonly valueType?: KvType
  /** Makes embeddings of whole sequences, which share `contextLength` tokens; absent: logits. */
  readonly pooling?: Pooling
}

/** A context of llama.cpp with its batch. Logits are read where they lie; free() it. */
export class Context {
  readonly size: ContextSize
  readonly batch: TokenBatch
  readonly address: Address
  readonly #llama: Llama
  readonly #vocabulary: number

  private constructor(llama: Llama, address: Address, vocabulary: number, size: ContextSize) {
    this.size = size
    this.batch = new TokenBatch(size.batch, size.sequences)
    this.address = address
    this.#llama = llama
    this.#vocabulary = vocabulary
  }

  /** @throws LlamaRefusal where llama.cpp cannot make it, such as for lack of memory. */
  static async create(llama: Llama, model: Address, vocabulary: number, options: ContextOptions): Promise<Context> {
    const { contextLength, sequences, batch, threads, evalCallback, batchThreads = threads, outputs = 0, pooling } = options
    const { flashAttention = 'auto', keyType = 'f16', valueType = 'f16' } = options
    const pools = pooling !== undefined
    const params = setFields(llama.contextDefaultParams(), contextFields, {
      n_ctx: pools ? contextLength : contextLength * sequences,
      n_batch: batch,
      // what is pooled must be computed at once
      n_ubatch: pools ? batch : Math.min(512, batch),
      n_seq_max: sequences,
      n_outputs_max: outputs,
      n_threads: threads,
      n_threads_batch: batchThreads,
      flash_attn_type: flashAttentions[flashAttention],
      type_k: kvTypes[keyType],
      type_v: kvTypes[valueType],
      embeddings: pools,
      pooling_type: pools ? poolingTypes.indexOf(pooling) : -1,
      no_perf: true,
      swa_full: false,
      kv_unified: pools,
      ...(evalCallback === undefined ? {} : { cb_eval: evalCallback }),
    })
    const address = await offThread(llama.contextInit, model, params)
    if (address === null) throw new LlamaRefusal('the context was not made')
    return new Context(llama, address, vocabulary, { contextLength, sequences, batch, threads })
  }

  /** Clears the KV cache. */
  clear(): void {
    const memory = this.#llama.contextMemory(this.address)
    if (memory !== null) this.#llama.memoryClear(memory, true)
    this.batch.clear()
  }

  /** Address of the KV cache; null for models without one. */
  get memory(): Address | null {
    return this.#llama.contextMemory(this.address)
  }

  /** Removes the tokens of a sequence. */
  forget(sequence: number): void {
    const { memory } = this
    if (memory !== null) this.#llama.memoryRemove(memory, sequence, -1, -1)
  }

  /**
   * Removes the tokens of a sequence except the first `count`.
   * @returns false where that is impossible: in a recurrent state, or where a sliding window has dropped the first ones.
   */
  keep(sequence: number, count: number): boolean {
    const { memory } = this
    return (
      memory !== null && this.#llama.memoryFirst(memory, sequence) === 0 && this.#llama.memoryRemove(memory, sequence, count, -1)
    )
  }

  /** Copies all tokens of a sequence to another, which holds none. */
  copy(source: number, target: number): void {
    const { memory } = this
    if (memory !== null) this.#llama.memoryCopy(memory, source, target, -1, -1)
  }

  /** Decodes the batch. @throws LlamaRefusal */
  async decode(): Promise<void> {
    check(await offThread(this.#llama.decode, this.address, this.batch.struct))
  }

  /** Decodes the batch on this thread, which handles no messages meanwhile. @throws LlamaRefusal */
  decodeHere(): void {
    check(this.#llama.decode(this.address, this.batch.struct))
  }

  /** Returns the pooled vector of a sequence, valid until the next decode. @throws LlamaRefusal where there is none. */
  embedding(sequence: number, length: number): Float32Array {
    const address = this.#llama.embeddingOf(this.address, sequence)
    if (address === null) throw new LlamaRefusal('the model gives no embedding')
    return floatsAt(address, length)
  }

  /**
   * Logits after the batch's token `index` and those that follow it, `rows` rows of vocabulary size, as llama.cpp holds them: valid
   * until the next decode. All tokens between must have asked for output.
   * @throws LlamaRefusal where there are none.
   */
  logits(index: number, rows: number): Float32Array {
    const address = this.#llama.logitsAt(this.address, index)
    if (address === null) throw new LlamaRefusal('the model gives no logits')
    return floatsAt(address, rows * this.#vocabulary)
  }

  free(): void {
    this.#llama.contextFree(this.address)
    this.batch.free()
  }
}

function check(status: number): void {
  if (status !== 0) throw new LlamaRefusal(`llama_decode returned ${status}`)
}
