import { resolve } from 'node:path'
import { MqError } from '../errors/index.js'
import type { WithProgress } from '../progress/index.js'
import { type Connection, lastOf, Refused, type Work } from './connection.js'
import type { GenerateOptions, ImatrixOptions, PerplexityOptions } from './options.js'
import { collectPerplexity, inChunks, type Perplexity } from './perplexity.js'
import type {
  ChatMessage,
  CompletionStep,
  Embeddings,
  Generated,
  ImatrixResult,
  LogitsComparison,
  ModelInfo,
  OperationName,
  Operations,
  Ranking,
  Sampling,
  SpeedRequest,
  SpeedSample,
  TokenizeRequest,
} from './protocol.js'
import { completeSampling, type TextModel } from './text-model.js'

/** A chat template that has not ended by now loops. */
const chatTemplateSeconds = 5

/** A model loaded by llama.cpp, in a process of its own. `await using`, or close(). */
export class LlamaModel implements TextModel {
  readonly path: string
  readonly info: ModelInfo
  readonly #connection: Connection

  constructor(path: string, info: ModelInfo, connection: Connection) {
    this.path = path
    this.info = info
    this.#connection = connection
  }

  /** Token ids of a text. `special` adds BOS and EOS where the vocabulary asks for them; `parseSpecial` reads their names in the text. */
  async tokenize(text: string, options: Partial<Omit<TokenizeRequest, 'text'>> = {}): Promise<Int32Array> {
    const { special = false, parseSpecial = false } = options
    return await lastOf(this.#call('tokenize', { text, special, parseSpecial }, { did: 'read', what: 'a text' }))
  }

  /**
   * Perplexity of a text, to the digit as llama-perplexity defines it.
   * @throws MqError TEXT_TOO_SHORT below two chunks; LLAMA_CRASHED; INTERRUPTED.
   */
  perplexity(text: string, options: PerplexityOptions = {}): WithProgress<Perplexity> {
    const { contextLength = 512, chunks, range } = options
    const request = { text, contextLength, chunks, range }
    return collectPerplexity(
      this.#call('perplexity', request, { did: 'measured', what: `the perplexity of ${this.path}` }),
      contextLength,
    )
  }

  /**
   * Measures perplexity and writes every scored position's logits to a file, as `llama-perplexity --kl-divergence-base` does: 2 bytes a
   * token of the vocabulary for each. What stops it leaves a file that is not whole.
   * @throws MqError as perplexity does; DISK_FULL.
   */
  saveLogits(path: string, text: string, options: PerplexityOptions = {}): WithProgress<Perplexity> {
    const { contextLength = 512, chunks, range } = options
    const request = { path: resolve(path), text, contextLength, chunks, range }
    return collectPerplexity(
      this.#call('saveLogits', request, { did: 'saved', what: `the logits of ${this.path}` }),
      contextLength,
    )
  }

  /**
   * Compares the model with base logits that were saved from the same text, position by position; see divergenceOf in src/verify.
   * @param name what to call the logits' model in messages; by default the file.
   * @throws MqError FILE_MISSING, LOGITS_INVALID, INPUT_TRUNCATED; REFERENCE_MISMATCH where text or vocabulary are others;
   *   LLAMA_CRASHED; INTERRUPTED.
   */
  compareLogits(
    path: string,
    text: string,
    { chunks, range, name = path }: Omit<PerplexityOptions, 'contextLength'> & { readonly name?: string } = {},
  ): WithProgress<LogitsComparison> {
    const request = { path: resolve(path), name, text, chunks, range }
    return inChunks(this.#call('compareLogits', request, { did: 'measured', what: `the divergence of ${this.path}` }))
  }

  /**
   * Writes an importance matrix in the GGUF form: of every weight's inputs on a text the sums of squares, as llama-imatrix has them, and
   * where it is asked for what is kept of their covariances.
   * @throws MqError as perplexity does; ACTIVATIONS_NOT_FINITE.
   */
  imatrix(path: string, text: string, options: PerplexityOptions & ImatrixOptions): WithProgress<ImatrixResult> {
    const { contextLength = 512, chunks, range, dataset, output = false, covariance } = options
    const optional = { chunks, range, covariance }
    const request = { path: resolve(path), text, dataset, output, contextLength, ...optional }
    return inChunks(
      this.#call('imatrix', request, { did: 'collected', what: `the importance matrix of ${this.path}` }),
      'collect',
    )
  }

  /** Renders messages with the model's chat template. @throws MqError CHAT_TEMPLATE_INVALID */
  async renderChat(messages: readonly ChatMessage[]): Promise<string> {
    const rendered = lastOf(this.#call('renderChat', { messages }, { did: 'rendered', what: 'a chat template' }))
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      const problem = `it had not ended after ${chatTemplateSeconds} seconds`
      timer = setTimeout(() => {
        reject(MqError.of('CHAT_TEMPLATE_INVALID', { file: this.path, problem }))
        void this.close()
      }, 1000 * chatTemplateSeconds)
    })
    try {
      return await Promise.race([rendered, late])
    } finally {
      clearTimeout(timer)
      rendered.catch(() => {})
    }
  }

  /**
   * Text that the model writes, piece by piece, never cut inside a character. Up to `slots` of these are computed together, others wait.
   * @throws MqError PROMPT_TOO_LONG; CHAT_TEMPLATE_INVALID; ACTIVATIONS_NOT_FINITE; OPTION_INVALID; LLAMA_CRASHED; INTERRUPTED.
   */
  async *generate(options: GenerateOptions): AsyncGenerator<string, Generated, void> {
    const steps = this.complete(options)
    try {
      for (;;) {
        const step = await steps.next()
        if (step.done === true) return step.value
        if (step.value.text !== '') yield step.value.text
      }
    } finally {
      await steps.return(undefined as never)
    }
  }

  /** Generates text as `generate` does, with its tokens where `logprobs` is set. @throws as generate. */
  async *complete(options: GenerateOptions): AsyncGenerator<CompletionStep, Generated, void> {
    const { maxTokens = Number.MAX_SAFE_INTEGER, stop = [], logprobs } = options
    const prompt = await this.#promptOf(options)
    const sampling = this.sampling(options)
    const { whole = false } = options
    const request = { prompt, maxTokens, stop, sampling, whole, ...(logprobs === undefined ? {} : { logprobs }) }
    const { signal } = options
    return yield* this.#call('complete', request, { did: 'ran', what: `text generation with ${this.path}`, signal })
  }

  /** Completes sampling parameters with the file's and llama.cpp's defaults, and a seed. */
  sampling(options: Partial<Sampling>): Sampling {
    return completeSampling(options, this.info.sampling)
  }

  /** Computes normalized embeddings of texts. @throws MqError MODEL_UNSUITED where the model has none; PROMPT_TOO_LONG; OPTION_INVALID. */
  async embed(inputs: readonly (string | Int32Array)[]): Promise<Embeddings> {
    return await lastOf(this.#call('embed', { inputs }, { did: 'made', what: `embeddings with ${this.path}` }))
  }

  /** Scores documents for a query with the model's classification head. @throws MqError MODEL_UNSUITED where it has none; PROMPT_TOO_LONG. */
  async rerank(query: string, documents: readonly string[]): Promise<Ranking> {
    return await lastOf(this.#call('rerank', { query, documents }, { did: 'ranked', what: `documents with ${this.path}` }))
  }

  /** Measures the seconds of each repetition of a prompt or of single tokens, as llama-bench does. @throws MqError LLAMA_CRASHED; INTERRUPTED. */
  speed(request: SpeedRequest): AsyncGenerator<SpeedSample, undefined, void> {
    return this.#call('speed', request, { did: 'measured', what: `the speed of ${this.path}` })
  }

  /**
   * The same model for a user whose close() does not end llama.cpp.
   * @param giveBack is called when the user closes it, once.
   */
  lend(giveBack: () => void): LlamaModel {
    const connection = this.#connection
    let isClosed = false
    return new LlamaModel(this.path, this.info, {
      call: (operation, request, work) => connection.call(operation, request, work),
      lastWords: () => connection.lastWords(),
      get isClosed() {
        return isClosed || connection.isClosed
      },
      close() {
        if (!isClosed) giveBack()
        isClosed = true
        return Promise.resolve()
      },
    })
  }

  /** Whether llama.cpp has ended, by close() or by itself. */
  get isClosed(): boolean {
    return this.#connection.isClosed
  }

  /** Ends llama.cpp and frees its memory. */
  async close(): Promise<void> {
    await this.#connection.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #promptOf({ prompt, messages, raw = false }: GenerateOptions): Promise<string | Int32Array> {
    if (messages !== undefined) return await this.renderChat(messages)
    if (prompt === undefined) throw new TypeError('a prompt or messages are needed')
    // An empty template would lose the prompt.
    if (raw || typeof prompt !== 'string' || !this.info.chatTemplate?.trim()) return prompt
    return await this.renderChat([{ role: 'user', content: prompt }])
  }

  async *#call<Name extends OperationName>(
    operation: Name,
    request: Operations[Name]['request'],
    work: Work,
  ): AsyncGenerator<Operations[Name]['event'], Operations[Name]['result'], void> {
    try {
      return yield* this.#connection.call(operation, request, work)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      const problem = (await this.#connection.lastWords()) ?? 'it does not say why'
      throw MqError.of('LLAMA_CRASHED', { doing: `${work.did} ${work.what}`, problem }, { cause: error })
    }
  }
}
