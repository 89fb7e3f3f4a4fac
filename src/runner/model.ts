import { randomInt } from 'node:crypto'
import { access, constants } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { MqError } from '../errors/index.js'
import type { WithProgress } from '../progress/index.js'
import { type Connection, connect, Refused, type Work } from './connection.js'
import { readFileTraits } from './file-traits.js'
import { architecturesOf, knownSince } from './known-architectures.js'
import { findLibraries } from './libraries.js'
import { collectPerplexity, inChunks, type Perplexity } from './perplexity.js'
import type {
  ChatMessage,
  CompletionStep,
  CovarianceRequest,
  Embeddings,
  Generated,
  Hardware,
  ImatrixResult,
  KvType,
  LogitsComparison,
  ModelInfo,
  OperationName,
  Operations,
  Pooling,
  Ranking,
  Sampling,
  SpeedRequest,
  SpeedSample,
  TokenizeRequest,
} from './protocol.js'
import { llamaVersion } from './version.js'

/** How llama.cpp loads a model. */
export interface LoadOptions {
  /** Threads of llama.cpp; by default one for each core that this process may use. */
  readonly threads?: number
  /** Tokens that a prompt and its answer may hold; by default as trained, up to 4096. */
  readonly contextLength?: number
  /** Tokens that are decoded together; by default 2048, as in llama-perplexity. */
  readonly batch?: number
  /** Maps the file into memory instead of reading it; by default true. */
  readonly mmap?: boolean
  /** Uses all of `threads`, of a small model, too; by default it gets fewer. */
  readonly exactThreads?: boolean
  /** Completions that are computed together, each with `contextLength` tokens; by default 1. */
  readonly slots?: number
  /** Layers that a GPU takes, where there is one, the output counting as one; by default none, -1 for all. */
  readonly gpuLayers?: number
  /** Layers, from the first, whose routed experts stay on the processor; by default none. */
  readonly cpuExpertLayers?: number
  readonly flashAttention?: 'auto' | 'on' | 'off'
  /** Types of keys and values in the KV cache; by default f16. */
  readonly keyType?: KvType
  readonly valueType?: KvType
  /** How vectors of tokens become one embedding; by default as the model says. */
  readonly pooling?: Pooling
  /** Folder of llama.cpp's libraries; by default those of the best package that is installed. */
  readonly libraries?: string
  /** Ends llama.cpp at once, whatever it does. */
  readonly signal?: AbortSignal
}

/** Which part of a text is scored. */
export interface PerplexityOptions {
  /** Tokens of a chunk; by default 512. */
  readonly contextLength?: number
  /** At most so many chunks of the text; by default all. */
  readonly chunks?: number
}

/** What is collected of activations. */
export interface ImatrixOptions {
  /** Name of the text in the file. */
  readonly dataset: string
  /** Collects statistics for output.weight, too; by default not, as llama-imatrix. */
  readonly output?: boolean
  /** Input covariances to collect; by default none. */
  readonly covariance?: CovarianceRequest
}

/** What is generated, and how tokens are chosen. Defaults of sampling: those recommended in the file, else llama.cpp's. */
export interface GenerateOptions extends Partial<Sampling> {
  /** Text, token ids as they are, or messages to put into the model's chat template. One of them. */
  readonly prompt?: string | Int32Array
  readonly messages?: readonly ChatMessage[]
  /** Sends `prompt` as it is, where it would be put as a user's message into the chat template. */
  readonly raw?: boolean
  /** By default until the answer or the context ends. */
  readonly maxTokens?: number
  /** The text ends before the first of these; by default none. */
  readonly stop?: readonly string[]
  /** Log probabilities of each token and of so many of the most likely ones; by default none. */
  readonly logprobs?: number
  /** Gives the text in one piece, at the end; by default as it comes. */
  readonly whole?: boolean
  /** Cancels this alone, wherever it is; the model stays. */
  readonly signal?: AbortSignal
}

/** What llama.cpp says when the system gives it no memory, which is no fault of the file. */
const memoryWords = /cannot allocate memory|failed to allocate|unable to allocate|bad_alloc|out of memory/i

/** A chat template that has not ended by now loops. */
const chatTemplateSeconds = 5

/** A model loaded by llama.cpp, in a process of its own. `await using`, or close(). */
export class LlamaModel implements AsyncDisposable {
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
    const { contextLength = 512, chunks } = options
    const request = { text, contextLength, chunks }
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
    const { contextLength = 512, chunks } = options
    const request = { path: resolve(path), text, contextLength, chunks }
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
    { chunks, name = path }: { readonly chunks?: number; readonly name?: string } = {},
  ): WithProgress<LogitsComparison> {
    const request = { path: resolve(path), name, text, chunks }
    return inChunks(this.#call('compareLogits', request, { did: 'measured', what: `the divergence of ${this.path}` }))
  }

  /**
   * Writes an importance matrix in the GGUF form: of every weight's inputs on a text the sums of squares, as llama-imatrix has them, and
   * where it is asked for what is kept of their covariances.
   * @throws MqError as perplexity does; ACTIVATIONS_NOT_FINITE.
   */
  imatrix(path: string, text: string, options: PerplexityOptions & ImatrixOptions): WithProgress<ImatrixResult> {
    const { contextLength = 512, chunks, dataset, output = false, covariance } = options
    const optional = { chunks, covariance }
    const request = { path: resolve(path), text, dataset, output, contextLength, ...optional }
    return inChunks(
      this.#call('imatrix', request, { did: 'collected', what: `the importance matrix of ${this.path}` }),
      'collect',
    )
  }

  /** The prompt that the model's chat template makes of messages. @throws MqError CHAT_TEMPLATE_INVALID */
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

  /** The same with the tokens that the text is made of, where `logprobs` asks for them. @throws as generate. */
  async *complete(options: GenerateOptions): AsyncGenerator<CompletionStep, Generated, void> {
    const { maxTokens = Number.MAX_SAFE_INTEGER, stop = [], logprobs } = options
    const prompt = await this.#promptOf(options)
    const sampling = this.sampling(options)
    const { whole = false } = options
    const request = { prompt, maxTokens, stop, sampling, whole, ...(logprobs === undefined ? {} : { logprobs }) }
    const { signal } = options
    return yield* this.#call('complete', request, { did: 'ran', what: `text generation with ${this.path}`, signal })
  }

  /** Sampling parameters with the file's and llama.cpp's defaults, and a seed. */
  sampling(options: Partial<Sampling>): Sampling {
    const { sampling } = this.info
    return {
      temperature: options.temperature ?? sampling.temperature ?? 0.8,
      topK: options.topK ?? sampling.topK ?? 40,
      topP: options.topP ?? sampling.topP ?? 0.95,
      minP: options.minP ?? sampling.minP ?? 0.05,
      repeatPenalty: options.repeatPenalty ?? 1,
      repeatLastN: options.repeatLastN ?? 64,
      frequencyPenalty: options.frequencyPenalty ?? 0,
      presencePenalty: options.presencePenalty ?? 0,
      seed: options.seed ?? randomInt(2 ** 32 - 1),
      ...(options.logitBias !== undefined && { logitBias: options.logitBias }),
      ...(options.grammar !== undefined && { grammar: options.grammar }),
    }
  }

  /** Vectors of texts, of length 1. @throws MqError MODEL_UNSUITED where the model makes none; PROMPT_TOO_LONG; OPTION_INVALID. */
  async embed(inputs: readonly (string | Int32Array)[]): Promise<Embeddings> {
    return await lastOf(this.#call('embed', { inputs }, { did: 'made', what: `embeddings with ${this.path}` }))
  }

  /** What the model's head says of documents for a query. @throws MqError MODEL_UNSUITED where it has none; PROMPT_TOO_LONG. */
  async rerank(query: string, documents: readonly string[]): Promise<Ranking> {
    return await lastOf(this.#call('rerank', { query, documents }, { did: 'ranked', what: `documents with ${this.path}` }))
  }

  /** Seconds of each repetition of a prompt or of single tokens, as llama-bench measures them. @throws MqError LLAMA_CRASHED; INTERRUPTED. */
  speed(request: SpeedRequest): AsyncGenerator<SpeedSample, undefined, void> {
    return this.#call('speed', request, { did: 'measured', what: `the speed of ${this.path}` })
  }

  /** Whether llama.cpp has ended, by close() or by itself. */
  get isClosed(): boolean {
    return this.#connection.isClosed
  }

  /** Ends llama.cpp and gives its memory back. */
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

/**
 * Loads a GGUF file (the first shard of a split one) into a process of its own.
 * @throws MqError FILE_MISSING, FILE_UNREADABLE; MODEL_REJECTED where llama.cpp does not take it; LLAMA_CRASHED where that ends it;
 *   LLAMA_MISSING, LLAMA_VERSION; INTERRUPTED.
 */
export async function loadModel(path: string, options: LoadOptions = {}): Promise<LlamaModel> {
  const { threads = availableParallelism(), exactThreads = false, contextLength, batch = 2048, mmap = true, signal } = options
  const { gpuLayers = 0, cpuExpertLayers = 0, slots = 1, flashAttention = 'auto', keyType = 'f16', valueType = 'f16' } = options
  const { libraries = findLibraries() } = options
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
 * What a build of llama.cpp can compute on, asked in a process of its own.
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

async function lastOf<Result>(events: AsyncGenerator<unknown, Result, void>): Promise<Result> {
  for (;;) {
    const step = await events.next()
    if (step.done === true) return step.value
  }
}
