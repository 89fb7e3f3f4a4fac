import { basename } from 'node:path'
import { MqError } from '../errors/index.js'
import { checkTarget } from '../files/index.js'
import type { WithProgress } from '../progress/index.js'
import { type BaseLogits, makeBaseLogits } from './base-logits.js'
import { describeReference, type IdentifiedReference, identify } from './describe-files.js'
import type { Reference } from './report.js'
import { perplexityOf } from './statistics.js'

/** What models are measured against, and how. */
export interface MeasureOptions {
  /** What a model is to be like: a GGUF of higher precision, or the checkpoint folder itself. This or `againstLogits`. */
  readonly against?: string
  /** Its logits on the text in a file, as `saveLogits` keeps them or llama-perplexity --kl-divergence-base writes them. */
  readonly againstLogits?: string
  /** Adapters to merge into a reference that is a checkpoint, as in BlueprintOptions. */
  readonly lora?: readonly string[]
  /** Keeps the reference's logits in this file. */
  readonly saveLogits?: string
  /** UTF-8 text that neither training nor calibration has seen. */
  readonly text: string
  /** Tokens of a chunk; by default 512, as llama-perplexity, and with `againstLogits` as the file has it. */
  readonly contextLength?: number
  /** At most so many chunks of the text. */
  readonly chunks?: number
  readonly threads?: number
  readonly signal?: AbortSignal
}

/**
 * What models are to be held against, by digest; nothing is run.
 * @throws MqError FILE_MISSING, GGUF_INVALID and kin, INTERRUPTED.
 */
export async function identifyReference({ against, againstLogits, lora, signal }: MeasureOptions): Promise<IdentifiedReference> {
  if (againstLogits !== undefined) return { path: againstLogits, files: await identify([againstLogits], signal) }
  if (against === undefined) {
    const problem = 'a reference or its logits are needed'
    throw MqError.of('OPTION_INVALID', { option: 'against', value: 'absent', problem })
  }
  return await describeReference(against, { lora, signal })
}

/**
 * The reference's logits: those that are there, or made by running it.
 * @param models files that must not be written over.
 * @throws MqError as makeBaseLogits does.
 */
export async function* openReference(
  text: string,
  reference: IdentifiedReference,
  { text: textPath, againstLogits, saveLogits, lora, contextLength = 512, chunks, threads, signal }: MeasureOptions,
  models: readonly string[],
): WithProgress<BaseLogits> {
  const { path, files } = reference
  if (againstLogits !== undefined) return { path, name: basename(path), files, dispose: async () => {} }
  if (saveLogits !== undefined) await checkTarget(saveLogits, [...models, path, textPath], true)
  return yield* makeBaseLogits({
    reference,
    text,
    contextLength,
    chunks,
    save: saveLogits,
    lora,
    threads,
    signal,
  })
}

/** What a report says of the reference. */
export function referenceOf(
  { name, files, bitsPerWeight, sizeBytes }: BaseLogits,
  negativeLogLikelihoods: Float64Array,
): Reference {
  return {
    name,
    sizeBytes,
    files,
    bitsPerWeight,
    perplexity: perplexityOf(negativeLogLikelihoods),
  }
}
