import type { GgmlTypeName } from '../ggml/types.js'

/** The value types of GGUF metadata, with their numbers in the file. Source: ggml's docs/gguf.md. */
export const metadataTypeIds = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const

export type MetadataTypeName = keyof typeof metadataTypeIds

export type MetadataScalarType = Exclude<MetadataTypeName, 'array'>

/** One metadata value. 64-bit integers are bigint, everything else is what it looks like. Arrays hold one element type and may nest. */
export type MetadataValue =
  | { readonly type: 'uint8' | 'int8' | 'uint16' | 'int16' | 'uint32' | 'int32' | 'float32' | 'float64'; readonly value: number }
  | { readonly type: 'uint64' | 'int64'; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | MetadataArray

export type MetadataArray = {
  readonly type: 'array'
  readonly elementType: MetadataTypeName
  /** Scalars of the element type, or MetadataArray for elementType 'array'. */
  readonly value: readonly (number | bigint | boolean | string | MetadataArray)[]
}

/** Metadata in the order of the file. */
export type Metadata = ReadonlyMap<string, MetadataValue>

/** A tensor as a GGUF header describes it. */
export interface GgufTensorInfo {
  readonly name: string
  /** ggml's order: dimensions[0] is the row length (ne0). The reverse of a checkpoint's shape. */
  readonly dimensions: readonly number[]
  readonly type: GgmlTypeName
  /** Byte offset from the start of the data section of its own file. */
  readonly offset: number
  readonly sizeBytes: number
}
