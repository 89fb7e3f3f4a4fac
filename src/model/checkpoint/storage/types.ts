import type { SafetensorsDtype } from '../../../../formats/safetensors/index.js'
import type { FileRange, PlainType, Recipe, Shape } from '../../../recipe/index.js'

/** A tensor as a file holds it. */
export interface StoredTensor {
  readonly dtype: SafetensorsDtype
  readonly shape: Shape
}

/** The tensors of a checkpoint's files, whatever they mean. */
export interface StoredTensors {
  /** What to call the checkpoint in messages. */
  readonly path: string
  /** File after file, by name within each. */
  readonly names: readonly string[]
  get(name: string): StoredTensor | undefined
  /**
   * The values of a tensor of a floating-point type.
   * @throws MqError TENSOR_MISSING; STORAGE_UNSUPPORTED for any other type.
   */
  floats(name: string): Recipe
  /**
   * The values of a tensor, read as a type of as many bytes.
   * @throws MqError TENSOR_MISSING; RangeError where the type is of another size.
   */
  as(name: string, type: PlainType): Recipe
  /** The bytes of a tensor of any type. @throws MqError TENSOR_MISSING. */
  packed(name: string): FileRange
}

/** What a checkpoint says of the way it keeps its weights. */
export interface StorageContext {
  readonly stored: StoredTensors
  /** config.json. */
  readonly config: Readonly<Record<string, unknown>>
  /** The path or address of config.json, for messages. */
  readonly configFile: string
  /**
   * `quantization_config` or `compression_config` of config.json, its `quantization` of MLX, or what hf_quant_config.json says; undefined
   * for none.
   */
  readonly quantization: Readonly<Record<string, unknown>> | undefined
  /** The name of the file that `quantization` is from, for messages. */
  readonly sectionFile: string
  /** The bytes of a small tensor. @throws MqError TENSOR_MISSING, STORAGE_UNSUPPORTED where it is not small. */
  readonly bytesOf: (name: string) => Promise<Uint8Array>
  /** `__metadata__` of the weight files. */
  readonly metadata: ReadonlyMap<string, string>
}

/** The model's tensors, whatever their storage. */
export interface Storage {
  /** Without what only belongs to the storage, in the order of the files. */
  readonly names: readonly string[]
  /** The shape that a tensor has when it is read; undefined where there is none of that name. */
  shapeOf(name: string): Shape | undefined
  /** A tensor's values. @throws MqError TENSOR_MISSING, TENSOR_SHAPE, STORAGE_UNSUPPORTED. */
  tensor(name: string): Recipe
  /** What the user should know. */
  readonly notes: readonly string[]
}

/** One way to keep weights. */
export interface StorageKind {
  /** What to call it in messages. */
  readonly name: string
  /**
   * The model's tensors, where a checkpoint keeps them in this way; undefined where it does not.
   * @throws MqError STORAGE_UNSUPPORTED where it is a variant that cannot be read.
   */
  open(context: StorageContext): Storage | undefined | Promise<Storage | undefined>
}
