/** Activation statistics of one weight matrix, or of a stack of them. */
export interface ImportanceEntry {
  /** Mean of x^2 for each column, one run of columns after the other for a stack of experts. */
  readonly meanSquares: Float32Array
  /** Tokens seen by each matrix of the stack; one number where the file keeps only the sum. */
  readonly counts: readonly number[]
}

/** An importance matrix: mean squared activations of each weight matrix's input columns on a calibration text. */
export interface ImportanceMatrix {
  /** GGUF tensor name -> its entry. */
  readonly entries: ReadonlyMap<string, ImportanceEntry>
  /** Names of the calibration texts, as the file gives them. */
  readonly datasets: readonly string[]
  /** Chunks of the calibration texts; 0 where the file does not say. */
  readonly chunks: number
  /** Tokens of a chunk; undefined in the old form, which counts chunks where the new one counts tokens. */
  readonly chunkLength: number | undefined
}
