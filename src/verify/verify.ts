import { readText } from '../files/index.js'
import type { WithProgress } from '../progress/index.js'
import { externalPerplexity } from '../runner/index.js'
import { describeModel, type ModelFiles } from './describe-files.js'
import { checkAskedGates, checkGates, type Gate } from './gates.js'
import { type Measured, measureModel, textOf } from './measurement.js'
import { pairedDifference } from './paired.js'
import { identifyReference, type MeasureOptions, openReference, referenceOf } from './reference.js'
import type { VerifyReport } from './report.js'

/** The model that is measured, on what, and its gates. */
export interface VerifyOptions extends MeasureOptions {
  /** The GGUF to be proved; any shard of a split model. */
  readonly model: string
  /** Another GGUF to compare with, chunk by chunk. */
  readonly versus?: string
  readonly gates?: readonly Gate[]
  /** The one-sided confidence, 0.5 to 1, with which gates are to be kept; by default the figures alone count. */
  readonly confidence?: number
  /** Folder of the user's own llama.cpp, whose llama-perplexity is to measure the model, too. */
  readonly llamaDirectory?: string
}

/**
 * Measures a model against its reference on the same tokens of a text, and holds the result against the gates. A gate that fails is a
 * result, not an exception: see gateError. The reference runs first and leaves its logits on disk, so that one model is loaded at a time.
 * @throws MqError FILE_MISSING, MODEL_REJECTED, LLAMA_MISSING, TEXT_TOO_SHORT, REFERENCE_MISMATCH, LOGITS_INVALID, DISK_FULL, FILE_UNWRITABLE,
 *   OPTION_INVALID, INTERRUPTED and what a conversion of the reference throws.
 */
export async function* verify(options: VerifyOptions): WithProgress<VerifyReport> {
  const { model, versus: other, gates = [], confidence, chunks, threads, signal } = options
  checkAskedGates(gates, { versus: other !== undefined, confidence })
  const text = await readText(options.text, options)
  const file = await describeModel(model, signal)
  const otherFile = other === undefined ? undefined : await describeModel(other, signal)

  const base = yield* openReference(text.content, await identifyReference(options), options, [model])
  try {
    const limits = { chunks, threads, signal }
    const measured = yield* measureModel(file, text.content, base, limits)
    const { measurement, comparison, reference, llamaVersion } = measured
    const external = yield* secondOpinion(file.path, comparison.contextLength, options)
    const versus = otherFile === undefined ? undefined : yield* measureModel(otherFile, text.content, base, limits)
    const report = {
      version: 1 as const,
      ...measurement,
      reference: referenceOf(base, reference),
      text: textOf(text, measured),
      external,
      versus: versus === undefined || otherFile === undefined ? undefined : versusOf(otherFile, versus, comparison),
      llamaCpp: llamaVersion,
    }
    const results = checkGates(gates, report, confidence)
    return { ...report, gates: results, passed: results.every(({ passed }) => passed) }
  } finally {
    await base.dispose()
  }
}

async function* secondOpinion(
  model: string,
  contextLength: number,
  { text, llamaDirectory: directory, chunks, threads, signal }: VerifyOptions,
): WithProgress<VerifyReport['external']> {
  if (directory === undefined) return undefined
  const { perplexity, standardError } = yield* externalPerplexity(model, text, {
    directory,
    contextLength,
    chunks,
    threads,
    signal,
  })
  return { program: 'llama-perplexity', perplexity, standardError }
}

function versusOf(
  { files }: ModelFiles,
  { measurement, comparison }: Measured,
  compared: Measured['comparison'],
): NonNullable<VerifyReport['versus']> {
  const { kld, sameTop } = measurement.divergence
  return {
    name: files[0]?.name ?? '',
    sizeBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
    ...measurement,
    kld: kld.mean,
    sameTop,
    difference: pairedDifference(compared, comparison),
  }
}
