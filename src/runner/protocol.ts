import type { MqError, ToolErrorCode } from '../errors/index.js'

/**
 * Messages between this process and the child process that runs llama.cpp. To each command the child sends any number of events and then
 * one result, failure or `cancelled`. Completions, embeddings, tokenizing and chat templates run side by side; all else one at a time, in order.
 */
export interface Operations {
  devices: { request: { readonly libraries: string }; event: never; result: Hardware }
  load: { request: LoadRequest; event: never; result: ModelInfo }
  tokenize: { request: TokenizeRequest; event: never; result: Int32Array }
  renderChat: { request: { readonly messages: readonly ChatMessage[] }; event: never; result: string }
  perplexity: { request: PerplexityRequest; event: PerplexityStep; result: PerplexityResult }
  saveLogits: { request: SaveLogitsRequest; event: PerplexityStep; result: PerplexityResult }
  compareLogits: { request: CompareLogitsRequest; event: PerplexityStep; result: LogitsComparison }
  imatrix: { request: ImatrixRequest; event: PerplexityStep; result: ImatrixResult }
  complete: { request: CompleteRequest; event: CompletionStep; result: Generated }
  embed: { request: EmbedRequest; event: never; result: Embeddings }
  rerank: { request: RerankRequest; event: never; result: Ranking }
  speed: { request: SpeedRequest; event: SpeedSample; result: undefined }
}

export type OperationName = keyof Operations

export type Command = RunCommand | { readonly id: number; readonly operation: 'cancel' }

export type RunCommand = { [Name in OperationName]: RunCommandOf<Name> }[OperationName]

export interface RunCommandOf<Name extends OperationName> {
  readonly id: number
  readonly operation: Name
  readonly request: Operations[Name]['request']
}

export type Reply<Name extends OperationName = OperationName> =
  | { readonly id: number; readonly kind: 'event'; readonly event: Operations[Name]['event'] }
  | { readonly id: number; readonly kind: 'result'; readonly result: Operations[Name]['result'] }
  | { readonly id: number; readonly kind: 'failure'; readonly failure: Failure }
  | { readonly id: number; readonly kind: 'cancelled' }

export type Failure =
  /** An error of the table. */
  | { readonly kind: 'coded'; readonly code: ToolErrorCode; readonly details: MqError['details'] }
  /** A llama.cpp call failed; the reason is in its log. */
  | { readonly kind: 'llama' }

/** What llama.cpp can compute on. */
export interface Device {
  readonly name: string
  readonly description: string
  readonly kind: 'cpu' | 'gpu' | 'integrated' | 'accelerator' | 'meta'
  readonly freeBytes: number
  readonly totalBytes: number
}

export interface Hardware {
  readonly version: string
  readonly devices: readonly Device[]
  /** llama.cpp's line of what its processor backend was built with. */
  readonly systemInfo: string
}

export interface LoadRequest {
  readonly path: string
  /** Where llama.cpp's libraries lie. */
  readonly libraries: string
  /** Threads at most: small models get fewer, unless they are given exactly. */
  readonly threads: number
  readonly exactThreads: boolean
  /** Tokens that a conversation may hold; absent: as trained, up to 4096. */
  readonly contextLength?: number
  /** Completions that are decoded together. */
  readonly slots: number
  /** Tokens that one decode takes. */
  readonly batch: number
  readonly mmap: boolean
  /** Allows weights in layouts of the processor's own, which some models cannot bear. */
  readonly extraBuffers: boolean
  /** Layers on GPUs, the output counting as one; -1: all. */
  readonly gpuLayers: number
  /** Layers, from the first, whose routed experts stay on the processor. */
  readonly cpuExpertLayers: number
  readonly flashAttention: 'auto' | 'on' | 'off'
  /** Of the KV cache, by name of ggml. */
  readonly keyType: KvType
  readonly valueType: KvType
  /** In place of the model's own for embeddings. */
  readonly pooling?: Pooling
  /** Loads no weights: for tokenizing alone. */
  readonly vocabularyOnly: boolean
}

/** Types of the KV cache that llama.cpp's programs offer. */
export type KvType = 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_0' | 'q4_1' | 'iq4_nl' | 'q5_0' | 'q5_1'

/** How the vectors of a text's tokens become one. */
export type Pooling = 'none' | 'mean' | 'cls' | 'last' | 'rank'

/** Properties of a loaded model. */
export interface ModelInfo {
  /** GGUF architecture, such as `llama` or `deepseek2`. */
  readonly architecture: string
  /** llama.cpp's line for it, such as `llama 8B Q4_K - Medium`. */
  readonly description: string
  readonly parameters: number
  /** Bytes of all tensors. */
  readonly sizeBytes: number
  /** Tokens in the vocabulary. */
  readonly vocabulary: number
  /** Context length that the model was trained on. */
  readonly trainedContext: number
  /** Whether texts start with the BOS token. */
  readonly addsBos: boolean
  /** False of encoders, such as BERT. */
  readonly generates: boolean
  readonly pooling: Pooling
  /** Length of an embedding. */
  readonly embeddingLength: number
  /** Labels of a classification head; 0 where there is none. */
  readonly classes: number
  /** GPUs that this build of llama.cpp finds, as their drivers name them. */
  readonly gpus: readonly string[]
  /** Empty where the vocabulary has none. */
  readonly bosToken: string
  readonly eosToken: string
  /** Jinja source of tokenizer.chat_template. */
  readonly chatTemplate?: string
  /** Recommended sampling parameters, general.sampling.*. */
  readonly sampling: { readonly temperature?: number; readonly topK?: number; readonly topP?: number; readonly minP?: number }
  readonly llamaVersion: string
}

export interface TokenizeRequest {
  readonly text: string
  /** Adds BOS and EOS where the vocabulary asks for them. */
  readonly special: boolean
  /** Reads `<|eot_id|>` and its like in the text as the tokens that they name. */
  readonly parseSpecial: boolean
}

export interface ChatMessage {
  readonly role: string
  readonly content: string
}

/** Consecutive chunks of a text, by their numbers. */
export interface ChunkRange {
  readonly first: number
  /** One past the last. */
  readonly end: number
}

export interface PerplexityRequest {
  readonly text: string
  readonly contextLength: number
  /** At most so many chunks of the text. */
  readonly chunks?: number
  /** Only these of them. */
  readonly range?: ChunkRange
}

export interface PerplexityStep {
  readonly chunksDone: number
  readonly chunks: number
}

export interface PerplexityResult {
  /** Tokens of the whole text. */
  readonly tokens: number
  readonly chunks: number
  /** -ln p of each scored token, in the order of the text. */
  readonly negativeLogLikelihoods: Float64Array
}

export interface SaveLogitsRequest extends PerplexityRequest {
  /** File to write the logits to, in llama-perplexity's form; replaced where it is there. */
  readonly path: string
}

export interface CompareLogitsRequest {
  /** File of base logits, as saveLogits or llama-perplexity wrote it. */
  readonly path: string
  /** What to call the file's model in a message. */
  readonly name: string
  /** The text that the file must have been made from. */
  readonly text: string
  /** At most so many chunks of the file. */
  readonly chunks?: number
  /** Only these of them. */
  readonly range?: ChunkRange
}

/** Figures of each scored token of a model against saved base logits, in the order of the text. */
export interface LogitsComparison {
  readonly contextLength: number
  readonly chunks: number
  /** -ln p of the token under the model. */
  readonly negativeLogLikelihoods: Float64Array
  /** The same under the base, as the 16 bits of the file have it. */
  readonly baseNegativeLogLikelihoods: Float64Array
  /** Sum over the vocabulary of p_base * ln(p_base / p). */
  readonly divergences: Float64Array
  /** p - p_base of the token in the text. */
  readonly probabilityChanges: Float32Array
  /** 1 where both have the same most likely token. */
  readonly sameTop: Uint8Array
}

export interface ImatrixRequest extends PerplexityRequest {
  /** File to write. */
  readonly path: string
  /** What the file calls the text. */
  readonly dataset: string
  /** Collects statistics for output.weight, too. */
  readonly output: boolean
  /** Input covariances to collect; absent: none. */
  readonly covariance?: CovarianceRequest
}

export interface CovarianceRequest {
  /** Rank of the covariances; `auto`: by width. */
  readonly rank: number | 'auto'
  /** Bytes that all sums together may have. */
  readonly memory: number
}

/** Inputs of one kind, and the form of their covariances. */
export interface CovarianceGroup {
  readonly columns: number
  /** Matrices that take inputs of their own, each with a covariance. */
  readonly matrices: number
  readonly kind: 'shared' | 'heads' | 'experts'
  readonly form: 'whole' | 'sketch' | 'diagonal'
  /** Rank to keep of a sketch. */
  readonly rank: number
  /** Inputs of this kind. */
  readonly inputs: number
  /** Of their sums, together. */
  readonly bytes: number
  /** Why this form. */
  readonly why: string
}

export interface ImatrixResult {
  /** Tokens of the whole text. */
  readonly tokens: number
  readonly chunks: number
  /** Of each weight how many matrices it stacks, and how many of them no token reached. */
  readonly tensors: readonly { readonly name: string; readonly matrices: number; readonly unseen: number }[]
  /** Input covariances by kind of input; empty where there are none. */
  readonly covariance: readonly CovarianceGroup[]
  /** Held-out chunks, which are not part of the covariances. */
  readonly chunksLeftOut: number
}

/** How a token is chosen from the logits. */
export interface Sampling {
  /** 0: greedy decoding. */
  readonly temperature: number
  /** 0: all. */
  readonly topK: number
  readonly topP: number
  readonly minP: number
  /** Divides the logits of the last `repeatLastN` tokens; 1: off. */
  readonly repeatPenalty: number
  readonly repeatLastN: number
  /** Taken from the logits of tokens that occurred, once for each time and once in all; 0: off. */
  readonly frequencyPenalty: number
  readonly presencePenalty: number
  readonly seed: number
  /** Added to the logits of tokens, by id. */
  readonly logitBias?: readonly (readonly [token: number, bias: number])[]
  /** GBNF grammar that the text must follow. */
  readonly grammar?: string
}

export interface CompleteRequest {
  /** Text, in which names of special tokens are these tokens, or token ids as they are. */
  readonly prompt: string | Int32Array
  readonly maxTokens: number
  readonly sampling: Sampling
  /** The text ends before the first of these. */
  readonly stop: readonly string[]
  /** Log probabilities of each token and of so many of the most likely ones; absent: none. */
  readonly logprobs?: number
  /** Gives the text in one step, at the end: messages between the processes cost as much as a token of a small model. */
  readonly whole: boolean
}

/** A token with its log probability before sampling, natural logarithm. */
export interface TokenProbability {
  readonly token: number
  readonly bytes: Uint8Array
  readonly logprob: number
}

/** Text that has come, and with `logprobs` the tokens that it is made of. */
export interface CompletionStep {
  readonly text: string
  readonly tokens?: readonly (TokenProbability & { readonly top: readonly TokenProbability[] })[]
}

/** How a completion ended. */
export interface Generated {
  readonly tokens: number
  readonly promptTokens: number
  /** Tokens of the prompt whose keys and values were there from before. */
  readonly cachedTokens: number
  /** From the end of the prompt to the last token. */
  readonly seconds: number
  readonly promptSeconds: number
  /** The model ended its answer, a stop string came, `maxTokens` were there, or the context was full. */
  readonly stopped: 'end' | 'stop' | 'length' | 'context'
}

/** Texts, or their tokens as they are. */
export interface EmbedRequest {
  readonly inputs: readonly (string | Int32Array)[]
}

export interface Embeddings {
  /** One for each input, of length 1 in L2 norm. */
  readonly vectors: readonly Float32Array[]
  readonly tokens: number
}

export interface RerankRequest {
  readonly query: string
  readonly documents: readonly string[]
}

export interface Ranking {
  /** What the model's head says of each document, in their order. */
  readonly scores: readonly number[]
  readonly tokens: number
}

/** What llama-bench measures: the time of a prompt or of single tokens, on an empty context. */
export interface SpeedRequest {
  /** Tokens of a prompt, decoded in batches; 0: none. */
  readonly promptTokens: number
  /** Tokens decoded one by one; 0: none. */
  readonly generatedTokens: number
  readonly repetitions: number
  /** Runs once before, uncounted: the first run brings the weights into memory. */
  readonly warmUp: boolean
}

export interface SpeedSample {
  readonly seconds: number
}
