import type { MetadataValue } from '../../../formats/gguf/types.js'
import type { Recipe, Shape } from '../../recipe/index.js'
import type { Checkpoint } from '../checkpoint/index.js'

/** A tensor of the output. */
export interface NamedTensor {
  readonly name: string
  readonly recipe: Recipe
}

/** A tensor that a checkpoint of the architecture holds. */
export interface ExpectedTensor {
  readonly shape: Shape
  /** Whether a checkpoint without it is broken. */
  readonly required: boolean
  /**
   * What becomes of it. Called once for each tensor, in the order of the checkpoint; several inputs of one output (experts) give
   * nothing until the last of them.
   */
  place(recipe: Recipe): readonly NamedTensor[]
}

/** What an architecture makes of a config.json. */
export interface Model {
  /** GGUF's name of the architecture. */
  readonly architecture: string
  readonly layers: number
  /** Routed experts of a layer; 0 for a dense model. */
  readonly experts: number
  /** Entries of the token embedding. */
  readonly vocabularySize: number
  /** In the order of the file, without the `{arch}.` prefix. */
  readonly keys: readonly Entry[]
  /** By the checkpoint's names. */
  readonly expected: ReadonlyMap<string, ExpectedTensor>
  /** Tensors that are computed from config.json; they come first. */
  readonly computed: readonly NamedTensor[]
  /** Why a tensor of the checkpoint is left out, to follow the word `tensors`, or `silently`; undefined where it is not. */
  leaveOut(name: string): string | undefined
  /** What the architecture adds to a tokenizer's metadata, given its tokenizer_config.json; by default nothing. */
  adjustTokenizer?(entries: readonly Entry[], tokenizerConfig: Readonly<Record<string, unknown>> | undefined): readonly Entry[]
  /** Things the user should know. */
  readonly notes: readonly string[]
}

/** A metadata key and its value. */
export type Entry = readonly [string, MetadataValue]

/** One family of architectures: the only place that knows its names, keys and transforms. */
export interface Family {
  /** What config.json calls them under `architectures`. */
  readonly classes: readonly string[]
  /** Reads config.json. @throws MqError CONFIG_INVALID. */
  describe(checkpoint: Checkpoint, className: string): Model
}
