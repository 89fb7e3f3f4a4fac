import type { GgmlTypeName } from '../../formats/ggml/types.js'

/** Bytes of one of the blueprint's files. */
export interface FileRange {
  /** Index into Blueprint.files. */
  readonly file: number
  /** First byte. */
  readonly start: number
  /** One past the last byte. */
  readonly end: number
}

/** Element types that are read as numbers one by one. */
export type PlainType = 'F64' | 'F32' | 'F16' | 'BF16' | 'F8_E4M3' | 'F8_E5M2' | 'I64' | 'I32' | 'I16' | 'I8' | 'U8' | 'BOOL'

/** Row-major dimensions, as a checkpoint writes them: the last one is the row length. */
export type Shape = readonly number[]

/**
 * How one output tensor is made from bytes: a small JSON expression that any worker, process or machine can evaluate for any range of
 * rows. A "row" is the last dimension; rows are numbered over all the others together. Everything evaluates to f32.
 */
export type Recipe =
  /** Values as stored. */
  | { readonly op: 'plain'; readonly dtype: PlainType; readonly range: FileRange; readonly shape: Shape }
  /** Blocks of a GGUF file, dequantized. */
  | { readonly op: 'ggml'; readonly type: GgmlTypeName; readonly range: FileRange; readonly shape: Shape }
  /**
   * DeepSeek's fp8: `weight` is a 2-D plain tensor, `scale` its multipliers (weight_scale_inv), one for each block of
   * blockRows x blockColumns, cropped at the edges. value = f32(weight) * scale.
   */
  | {
      readonly op: 'block-scale'
      readonly weight: Recipe
      readonly scale: Recipe
      readonly blockRows: number
      readonly blockColumns: number
      readonly shape: Shape
    }
  /** Llama's rotary permutation inside each head: new row h*d + 2j + i is old row h*d + i*d/2 + j, with d rows a head. */
  | { readonly op: 'interleave-halves'; readonly input: Recipe; readonly heads: number; readonly shape: Shape }
  /** The same values under another shape. */
  | { readonly op: 'reshape'; readonly input: Recipe; readonly shape: Shape }
  /** Entries `start` to `end` (exclusive) of dimension `axis`; never the last axis. */
  | {
      readonly op: 'slice'
      readonly input: Recipe
      readonly axis: number
      readonly start: number
      readonly end: number
      readonly shape: Shape
    }
  /** The last two dimensions exchanged. */
  | { readonly op: 'transpose'; readonly input: Recipe; readonly shape: Shape }
  /** Equal shapes one after the other under a new first dimension: experts. */
  | { readonly op: 'stack'; readonly inputs: readonly Recipe[]; readonly shape: Shape }
  /** Along the first dimension. */
  | { readonly op: 'concat'; readonly inputs: readonly Recipe[]; readonly shape: Shape }
  /** A constant added to every value (Gemma's norm + 1). */
  | { readonly op: 'add'; readonly input: Recipe; readonly value: number; readonly shape: Shape }
  /** Values computed from the configuration (rope factors), f32. */
  | { readonly op: 'constant'; readonly values: readonly number[]; readonly shape: Shape }
