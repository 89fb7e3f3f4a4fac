import type { Metadata, MetadataValue } from '../gguf/index.js'

/**
 * Input covariances in an importance matrix file: for each distinct input of the model's weight matrices, sums of x x^T over tokens, in full or
 * as a low-rank sketch. llama.cpp reads names that end in `.in_sum2` and `.counts` and ignores the rest.
 *
 * An input is named after the first weight that takes it, KEY; `mq.covariance.weights` and `mq.covariance.inputs` are two lists of
 * strings of one length that give each weight's KEY. Inputs that differ by expert or head stack m matrices, others have m = 1. n is the
 * length of a row. Dimensions are ggml's, the fastest first:
 *
 * | tensor | type | dimensions | |
 * |---|---|---|---|
 * | `KEY.cov_tokens` | F32 | 1, m | rows that were summed |
 * | `KEY.cov_whole` | F32 | n (n + 1) / 2, m | sum of x x^T, upper triangle row by row: or else |
 * | `KEY.cov_squares` | F32 | n, m | its diagonal, and |
 * | `KEY.cov_sketch` | F32 | s, n, m | sum of x (x^T W), W = randomSigns(seed, n, s); may be missing |
 * | `KEY.cov_kept` | BF16 | n, rows | held-out activation rows, not part of the sums, those of the first matrix first; may be missing |
 * | `KEY.cov_kept_counts` | F32 | 1, m | how many of them each matrix has |
 *
 * `mq.covariance.version` is 1, `mq.covariance.seed` the signs' seed and `mq.covariance.rank` the rank to keep of a
 * sketch, u32 all. Sums and counts of two files add up.
 */
export const covarianceNames = {
  tokens: '.cov_tokens',
  whole: '.cov_whole',
  squares: '.cov_squares',
  sketch: '.cov_sketch',
  kept: '.cov_kept',
  keptCounts: '.cov_kept_counts',
} as const

export const covarianceKeys = {
  version: 'mq.covariance.version',
  seed: 'mq.covariance.seed',
  rank: 'mq.covariance.rank',
  weights: 'mq.covariance.weights',
  inputs: 'mq.covariance.inputs',
} as const

export const covarianceVersion = 1

/** Sums over the rows of one input, for each of its matrices one after the other. */
export interface CollectedInput {
  /** Length of a row, n. */
  readonly columns: number
  /** Rows summed by each matrix. */
  readonly tokens: readonly number[]
  /** Upper triangles of the sum of x x^T. */
  readonly whole?: Float32Array
  /** Its diagonals, where it is not whole. */
  readonly squares?: Float32Array
  /** Sketches, [m][n][s]. */
  readonly sketch?: Float32Array
  /** Held-out rows, and how many each matrix has. */
  readonly kept: Float32Array
  readonly keptCounts: readonly number[]
}

/** Sums over all inputs of a model. */
export interface CollectedCovariance {
  /** Seed of the signs that sketches were made with. */
  readonly seed: number
  /** Rank to keep of sketches. */
  readonly rank: number
  /** Weight -> name of its input. */
  readonly inputOf: ReadonlyMap<string, string>
  readonly inputs: ReadonlyMap<string, CollectedInput>
}

/** The metadata keys that map weights to inputs. */
export function covarianceMetadata({ seed, rank, inputOf }: Omit<CollectedCovariance, 'inputs'>): Metadata {
  const strings = (value: Iterable<string>): MetadataValue => ({ type: 'array', elementType: 'string', value: [...value] })
  return new Map([
    [covarianceKeys.version, { type: 'uint32', value: covarianceVersion }],
    [covarianceKeys.seed, { type: 'uint32', value: seed }],
    [covarianceKeys.rank, { type: 'uint32', value: rank }],
    [covarianceKeys.weights, strings(inputOf.keys())],
    [covarianceKeys.inputs, strings(inputOf.values())],
  ])
}
