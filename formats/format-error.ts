/**
 * What can be wrong with bytes. The words for each code, its exit status and its advice stand in the one table, src/error-table.ts.
 */
export type FormatErrorCode =
  | 'INPUT_TRUNCATED' // { file, wanted, present } bytes end too early
  | 'LFS_POINTER' // { file } a Git LFS pointer in place of the file
  | 'SAFETENSORS_INVALID' // { file, problem }
  | 'SAFETENSORS_INDEX_INVALID' // { file, problem } model.safetensors.index.json
  | 'GGUF_INVALID' // { file, problem }
  | 'GGUF_UNSUPPORTED' // { file, problem } a valid file of a version or kind not known here
  | 'GGML_TYPE_UNKNOWN' // { type, where }
  | 'GGML_ROW_MISALIGNED' // { type, rowLength, blockSize }
  | 'IMATRIX_INVALID' // { file, problem }
  | 'LOGITS_INVALID' // { file, problem } base logits of llama-perplexity
  | 'TOKENIZER_INVALID' // { file, problem }
  | 'TOKENIZER_UNSUPPORTED' // { file, problem }
  | 'PRE_TOKENIZER_UNKNOWN' // { file, problem }

export type FormatErrorDetails = Readonly<Record<string, string | number>>

/** Thrown by everything under formats/ when bytes are not what they should be. */
export class FormatError extends Error {
  override readonly name = 'FormatError'
  readonly code: FormatErrorCode
  readonly details: FormatErrorDetails

  constructor(code: FormatErrorCode, details: FormatErrorDetails, options?: ErrorOptions) {
    super(`${code} ${JSON.stringify(details)}`, options)
    this.code = code
    this.details = details
  }
}
