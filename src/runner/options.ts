import type { ChatMessage, ChunkRange, CovarianceRequest, KvType, Pooling, Sampling } from './protocol.js'

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
  /** Loads no weights, whatever their size: the model can tokenize, and nothing else. */
  readonly vocabularyOnly?: boolean
  /** Folder of llama.cpp's libraries; by default those of the best package that is installed. */
  readonly libraries?: string
  /** Kills llama.cpp at once. */
  readonly signal?: AbortSignal
}

/** Which part of a text is scored. */
export interface PerplexityOptions {
  /** Tokens of a chunk; by default 512. */
  readonly contextLength?: number
  /** Maximum number of chunks of the text; by default all. */
  readonly chunks?: number
  /** Only these of the chunks: results are of them alone. */
  readonly range?: ChunkRange
}

/** Statistics of activations to collect. */
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
  /** Cancels this operation only; the model stays loaded. */
  readonly signal?: AbortSignal
}
