import type { MetadataValue } from '../../../formats/gguf/types.js'
import type { Recipe, Shape } from '../../recipe/index.js'
import type { TensorRole } from '../blueprint.js'
import type { Fields, ModelConfig } from './config.js'
import type { TensorMapping } from './tensor-mappings.js'

/** A tensor of the output. */
export interface NamedTensor {
  readonly name: string
  readonly recipe: Recipe
}

/** A tensor that a checkpoint of the architecture may have, and its conversion to GGUF tensors. */
export interface ExpectedTensor {
  readonly shape: Shape
  /** Whether the tensor has to be present. */
  readonly required: boolean
  /**
   * Its GGUF tensors. Called once for each tensor, in the order of the checkpoint; where several inputs make up one output (experts), the
   * last of them returns it.
   */
  toGguf(recipe: Recipe): readonly NamedTensor[]
}

/** A metadata key and its value. */
export type Entry = readonly [string, MetadataValue]

/** The GGUF metadata and tensors of an architecture for one config.json. */
export interface Model {
  /** GGUF's name of the architecture. */
  readonly architecture: string
  readonly layers: number
  /** Routed experts of a layer; 0 for a dense model. */
  readonly experts: number
  /** Entries of the token embedding. */
  readonly vocabularySize: number
  /** Keys that stand before those of `general.`. */
  readonly firstKeys: readonly Entry[]
  /** In the order of the file, with their full names. */
  readonly keys: readonly Entry[]
  /** By the checkpoint's names, after `rename`. */
  readonly expected: ReadonlyMap<string, ExpectedTensor>
  /** Tensors that are computed from config.json; they come first. */
  readonly computed: readonly NamedTensor[]
  /** The name that the family knows a tensor of the checkpoint by. */
  rename(name: string): string
  /** Why a tensor of the checkpoint is left out, to follow the word `tensors`, or `silently`; undefined where it is not. */
  leaveOut(name: string): string | undefined
  /** What the architecture adds to a tokenizer's metadata, given its tokenizer_config.json; by default nothing. */
  adjustTokenizer?(entries: readonly Entry[], tokenizerConfig: Fields | undefined): readonly Entry[]
  /** Names of pre-tokenizers, by those of others that split alike: see Quirks. */
  readonly preNames: Readonly<Record<string, string>>
  /** What tokenizer.ggml.model is, where files of that form are of several. */
  readonly tokenizer?: 'gemma4' | undefined
  /** Things the user should know. */
  readonly notes: readonly string[]
}

/** What a field of config.json means to a family that supports only some of its values. */
export type FieldRule =
  /** The values that are supported; null and a missing field are, too. */
  | readonly unknown[]
  /** Whether a value is supported: true, false (it is refused), or a note that says within which limits it is. */
  | ((value: unknown, config: ModelConfig) => boolean | string)

/** Which fields of config.json a family knows besides those that its keys and tensors read. */
export interface FieldTable {
  /** What transformers fills in where config.json is silent, for all classes of the family or for one. */
  readonly defaults?: Fields
  readonly classDefaults?: Readonly<Record<string, Fields>>
  /** Fields of config.json in the spelling that all families share, where the published one is another. */
  readonly respelled?: (fields: Fields) => Fields
  /** What transformers works out from other fields where one is missing or null. */
  readonly derived?: (fields: Fields, className: string) => Fields
  /** Fields that change the computation and that GGUF has no key for. */
  readonly supported?: Readonly<Record<string, FieldRule>>
  /** Kinds of rope scaling besides those that GGUF's keys say for all architectures: `llama3`, `longrope`, ... */
  readonly ropeKinds?: readonly string[]
  /** Fields that change nothing, besides those that are the same for all models. */
  readonly ignored?: readonly string[]
}

/** How the memory of a running model of the family is worked out: see src/footprint. */
export interface FootprintTraits {
  readonly attention: 'grouped' | 'latent'
  /** Whether llama.cpp divides the chosen experts' weights by their sum; `key` where `expert_weights_norm` says so. */
  readonly normalizedExperts?: boolean | 'key'
  /** Whether attention and the feed-forward part stand side by side: always, or in models without a norm between them. */
  readonly parallel?: boolean | 'without-norm'
}

/** Which widths of a family's models may grow without a change of what they compute: see src/model/widen. */
export interface WidenableWidths {
  /** Dense, expert and shared feed-forward blocks. */
  readonly feedForward: boolean
  /**
   * The residual stream, whose norms must all be RMS norms. plain: their epsilon shrinks, and no matrix is multiplied. stream: norms of
   * other widths share the epsilon, which stays; the stream is multiplied instead. stream-read: the same where matrices read the stream
   * without a norm. scaled: the same by llama.cpp, which multiplies the embedding by the root of the width.
   */
  readonly embedding?: 'plain' | 'scaled' | 'stream' | 'stream-read'
  /** Why the residual stream cannot grow, to follow a colon; and, where `feedForward` is false, why feed-forward blocks cannot. */
  readonly fixed?: string
  /**
   * Query heads within the groups of their key-value heads. free: by themselves. with-embedding: llama.cpp takes all heads together to be
   * as wide as the residual stream, and they grow with it.
   */
  readonly heads?: 'free' | 'with-embedding'
  /**
   * The number of layers by which llama.cpp knows models whose attention depends on the residual stream's width or the number of heads, which then
   * cannot grow: it scales queries by the width over the heads (Gemma), or biases scores by the number of a head (Baichuan).
   */
  readonly attentionFixedAt?: number
}

/** Why residual streams cannot grow whose norms subtract a mean, which zeros would change. */
export const layerNorms = 'its norms are not RMS norms: they subtract the mean of the residual stream'

/** Why residual streams cannot grow whose keys would have to grow with them: more key-value heads cost cache. */
export const keysAsWide = 'llama.cpp takes all keys together to be as wide as the residual stream'

/** Why residual streams cannot grow of models with a state space whose inner width llama.cpp does not read from the file. */
export const twiceAsWide = 'llama.cpp takes the inner width of the state space to be twice as large'

/** What is special about an architecture, and belongs to no other part. */
export interface Quirks {
  /** Matrices that llama.cpp's converter writes as F32 whatever the output type, besides those of all architectures. */
  readonly float32?: RegExp
  /** Whether llama-quantize takes the model for a 70B, whose value matrices it spares. Given layers, heads and key-value heads. */
  readonly isSeventyBillion?: (layers: number, heads: number, keyValueHeads: number) => boolean
  /** Renames tensors of the checkpoint before anything else. */
  readonly rename?: (name: string, config: ModelConfig) => string
  /** Why a tensor of the checkpoint is left out, to follow the word `tensors`. */
  readonly leaveOut?: (name: string, config: ModelConfig) => string | undefined
  /** What the architecture adds to a tokenizer's metadata. */
  readonly adjustTokenizer?: (
    entries: readonly Entry[],
    tokenizerConfig: Fields | undefined,
    config: ModelConfig,
  ) => readonly Entry[]
  /** What llama.cpp calls the pre-tokenizer of these models, by the name of another that splits alike and is recognised in its place. */
  readonly preNames?: Readonly<Record<string, string>>
  /** What tokenizer.ggml.model is, where the tokenizer's files do not say it. */
  readonly tokenizer?: 'gemma4'
  /** Tensors that are computed from config.json. */
  readonly computed?: (config: ModelConfig) => readonly NamedTensor[]
  /** Keys that llama.cpp's converter writes before all but general.architecture. */
  readonly firstKeys?: (config: ModelConfig) => readonly Entry[] | Promise<readonly Entry[]>
  /** Whether layers for multi-token prediction, which stand behind the others, can be left out or converted alone: see mtp.ts. */
  readonly separableMtp?: boolean
  /** Blocks of the output, where they are not num_hidden_layers. */
  readonly layers?: (config: ModelConfig) => number
  /** Rows of the embedding, where they need not be as many as vocab_size says. */
  readonly vocabulary?: (config: ModelConfig) => number
  /** Whether llama.cpp does not load a file without an output matrix: where the embedding is tied, it is written twice. */
  readonly needsOutput?: boolean
  /** Whether llama.cpp takes all heads together to be as wide as the residual stream; `widths.heads` of other families says so too. */
  readonly headsFillEmbedding?: boolean
  /** Whether the file has no place for an output matrix: the embedding serves as one. */
  readonly alwaysTied?: boolean
  /** Whether llama.cpp's converter leaves an output matrix out that equals a tied embedding. */
  readonly dropsTiedOutput?: boolean
}

/** One family of models: the only place that knows its names, keys, tensors, roles, memory and quirks. */
export interface Family {
  /** general.architecture. */
  readonly architecture: string
  /** What config.json calls them under `architectures`. */
  readonly classes: readonly string[]
  /** Which checkpoints of these classes are meant, where another family has the others. */
  readonly applies?: (fields: Fields) => boolean
  readonly fields?: FieldTable
  /** Metadata in the order of llama.cpp's converter, without the `{arch}.` prefix; those of `general.` and `tokenizer.` in full. */
  readonly keys: (config: ModelConfig) => readonly Entry[] | Promise<readonly Entry[]>
  /** Every tensor that a checkpoint may hold, and what becomes of it. */
  readonly tensors: (config: ModelConfig) => readonly TensorMapping[] | Promise<readonly TensorMapping[]>
  /** Roles of tensors that only this family has, by the middle of their GGUF names. */
  readonly roles?: Readonly<Record<string, TensorRole>>
  /** Absent where src/footprint does not model the architecture. */
  readonly footprint?: FootprintTraits
  /** Absent where no width is known to grow. */
  readonly widths?: WidenableWidths
  readonly quirks?: Quirks
}
