/**
 * The file of base logits that `llama-perplexity --kl-divergence-base` writes, little-endian: `_logits_`, u32 context length,
 * i32 vocabulary, i32 chunks, i32 [chunks * context length] tokens; then for each scored position a row of u16: f32 scale, f32 minimum,
 * a code for each token of the vocabulary, and one u16 of padding where the vocabulary is odd. ln p = scale * code + minimum.
 * Source: perplexity() in tools/perplexity/perplexity.cpp of llama.cpp.
 */
export interface LogitsShape {
  /** Tokens of a chunk. */
  readonly contextLength: number
  /** Tokens in the vocabulary. */
  readonly vocabulary: number
  readonly chunks: number
}

export interface LogitsHeader extends LogitsShape {
  /** The text, chunk after chunk, before BOS takes the place of any chunk's first token. */
  readonly tokens: Int32Array
}

export const magic = '_logits_'
export const fixedBytes = magic.length + 12

/** u16 before the codes of a row: the two floats. */
export const rowHeadUnits = 4

/** Positions of a chunk that are scored: those of its second half but the last, each against the token after it. */
export function scoredOfChunk(contextLength: number): number {
  return contextLength - 1 - Math.floor(contextLength / 2)
}

/** u16 of one row. */
export function rowUnits(vocabulary: number): number {
  return 2 * Math.floor((vocabulary + 1) / 2) + rowHeadUnits
}

/** Where row `index` starts. */
export function rowOffset({ contextLength, vocabulary, chunks }: LogitsShape, index: number): number {
  return fixedBytes + 4 * contextLength * chunks + 2 * rowUnits(vocabulary) * index
}

/** Bytes of the whole file. */
export function logitsFileBytes(shape: LogitsShape): number {
  return rowOffset(shape, shape.chunks * scoredOfChunk(shape.contextLength))
}
