import { TokenBatch } from './batch.js'
import { type Address, floatsAt, type Llama, offThread } from './binding.js'
import { LlamaRefusal } from './refusal.js'
import { contextFields, setFields } from './structs.js'

export interface ContextSize {
  /** Tokens that each sequence may hold. */
  readonly contextLength: number
  readonly sequences: number
  /** Tokens that one decode takes. */
  readonly batch: number
  readonly threads: number
}

export interface ContextOptions extends ContextSize {
  /** Address of a registered ggml_backend_sched_eval_callback, to look at activations; absent: none. */
  readonly evalCallback?: Address
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
    const { contextLength, sequences, batch, threads, evalCallback } = options
    const params = setFields(llama.contextDefaultParams(), contextFields, {
      n_ctx: contextLength * sequences,
      n_batch: batch,
      n_ubatch: Math.min(512, batch),
      n_seq_max: sequences,
      n_threads: threads,
      n_threads_batch: threads,
      no_perf: true,
      swa_full: false,
      kv_unified: false,
      ...(evalCallback === undefined ? {} : { cb_eval: evalCallback }),
    })
    const address = await offThread(llama.contextInit, model, params)
    if (address === null) throw new LlamaRefusal('the context was not made')
    return new Context(llama, address, vocabulary, { contextLength, sequences, batch, threads })
  }

  /** Forgets all tokens. */
  clear(): void {
    const memory = this.#llama.contextMemory(this.address)
    if (memory !== null) this.#llama.memoryClear(memory, true)
    this.batch.clear()
  }

  /** Runs the batch through the model. @throws LlamaRefusal */
  async decode(): Promise<void> {
    const status = await offThread(this.#llama.decode, this.address, this.batch.struct)
    if (status !== 0) throw new LlamaRefusal(`llama_decode returned ${status}`)
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
