import type { Text } from '../files/index.js'
import { inStage, type WithProgress } from '../progress/index.js'
import { type LoadModel, type LogitsComparison, llamaVersion, loadModel } from '../runner/index.js'
import type { BaseLogits } from './base-logits.js'
import type { ModelFiles } from './describe-files.js'
import { divergenceOf } from './divergence.js'
import { profileOf } from './profile.js'
import type { Measurement, VerifyReport } from './report.js'
import { perplexityOf, perplexityRatio } from './statistics.js'

/** A model held against base logits. */
export interface Measured {
  readonly measurement: Measurement
  readonly comparison: LogitsComparison
  /** -ln p of each scored token under the reference, as well as it is known. */
  readonly reference: Float64Array
  /** Version of llama.cpp. */
  readonly llamaVersion: string
}

/** What reports say of the text. */
export function textOf({ name, sha256 }: Pick<Text, 'name' | 'sha256'>, { comparison }: Measured): VerifyReport['text'] {
  const { contextLength, chunks, negativeLogLikelihoods } = comparison
  return { name, sha256, contextLength, chunks, scoredTokens: negativeLogLikelihoods.length }
}

/** Sums up how far a model is from the reference that it was compared with. */
export function measuredOf(
  { files, bitsPerWeight }: ModelFiles,
  base: BaseLogits,
  comparison: LogitsComparison,
  version = llamaVersion,
): Measured {
  const reference = base.negativeLogLikelihoods ?? comparison.baseNegativeLogLikelihoods
  return {
    measurement: {
      files,
      bitsPerWeight,
      perplexity: perplexityOf(comparison.negativeLogLikelihoods),
      perplexityRatio: perplexityRatio(comparison.negativeLogLikelihoods, reference),
      divergence: divergenceOf(comparison),
      profile: profileOf(comparison, reference),
    },
    comparison,
    reference,
    llamaVersion: version,
  }
}

/**
 * Runs a model over the text and sums up how far it is from the reference.
 * @throws MqError MODEL_REJECTED, LLAMA_MISSING, REFERENCE_MISMATCH, LOGITS_INVALID, ACTIVATIONS_NOT_FINITE, INTERRUPTED.
 */
export async function* measureModel(
  model: ModelFiles,
  text: string,
  base: BaseLogits,
  {
    chunks,
    load = loadModel,
    threads,
    signal,
  }: {
    readonly chunks?: number | undefined
    readonly load?: LoadModel | undefined
    readonly threads?: number | undefined
    readonly signal?: AbortSignal | undefined
  },
): WithProgress<Measured> {
  const { path, files } = model
  await using loaded = await load(path, { threads, signal })
  const work = loaded.compareLogits(base.path, text, { name: base.name, chunks })
  const comparison = yield* inStage(`perplexity of ${files[0]?.name ?? path}`, work)
  return measuredOf(model, base, comparison, loaded.info.llamaVersion)
}
