import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { openGguf } from '../../formats/gguf/index.js'
import { MqError } from '../errors.js'
import type { WithProgress } from '../progress.js'
import { checkTarget } from '../quantize/index.js'
import { externalPerplexity, type LogitsComparison, loadModel, type ModelInfo } from '../runner/index.js'
import { type BaseLogits, makeBaseLogits } from './base-logits.js'
import { divergenceOf } from './divergence.js'
import { checkGates, type Gates } from './gates.js'
import { pairedDifference } from './paired.js'
import type { VerifyReport } from './report.js'
import { perplexityOf, perplexityRatio } from './statistics.js'

export interface VerifyOptions {
  /** The GGUF to be proved; any shard of a split model. */
  readonly model: string
  /** What it is to be like: a GGUF of higher precision, or the checkpoint folder itself. This or `againstLogits`. */
  readonly against?: string
  /** Its logits on the text in a file, as `saveLogits` keeps them or llama-perplexity --kl-divergence-base writes them. */
  readonly againstLogits?: string
  /** Keeps the reference's logits in this file. */
  readonly saveLogits?: string
  /** Another GGUF to compare with, chunk by chunk. */
  readonly versus?: string
  /** UTF-8 text that neither training nor calibration has seen. */
  readonly text: string
  /** Tokens of a chunk; by default 512, as llama-perplexity, and with `againstLogits` as the file has it. */
  readonly contextLength?: number
  /** At most so many chunks of the text. */
  readonly chunks?: number
  readonly gates?: Gates
  /** Folder of the user's own llama.cpp, whose llama-perplexity is to measure the model, too. */
  readonly llamaDirectory?: string
  readonly threads?: number
  readonly signal?: AbortSignal
}

/**
 * Measures a model against its reference on the same tokens of a text, and holds the result against the gates. A gate that fails is a
 * result, not an exception: see gateError. The reference runs first and leaves its logits on disk, so that one model is loaded at a time.
 * @throws MqError FILE_MISSING, MODEL_REJECTED, LLAMA_MISSING, TEXT_TOO_SHORT, REFERENCE_MISMATCH, LOGITS_INVALID, DISK_FULL, FILE_UNWRITABLE,
 *   INTERRUPTED and what a conversion of the reference throws.
 */
export async function* verify(options: VerifyOptions): WithProgress<VerifyReport> {
  const { model, text: textPath, gates = {} } = options
  const bytes = await readFile(textPath).catch((error: unknown) => {
    throw MqError.from(error, textPath)
  })
  const text = bytes.toString('utf8')
  const file = await describeModel(model)

  const base = yield* baseLogits(text, options)
  try {
    const [compared, { llamaVersion }] = yield* compare(model, text, base, options)
    const external = yield* secondOpinion(compared.contextLength, options)
    const versus = options.versus === undefined ? undefined : yield* versusOf(options.versus, text, base, compared, options)
    const reference = base.negativeLogLikelihoods ?? compared.baseNegativeLogLikelihoods
    const ratio = perplexityRatio(compared.negativeLogLikelihoods, reference)
    const divergence = divergenceOf(compared)
    const gateResults = checkGates(gates, {
      perplexityRatio: ratio.value,
      kld: divergence.kld.mean.value,
      sameTop: divergence.sameTop.value,
    })
    return {
      version: 1,
      ...file,
      reference: {
        name: base.name,
        ...(base.sizeBytes === undefined ? {} : { sizeBytes: base.sizeBytes }),
        perplexity: perplexityOf(reference),
      },
      text: {
        name: basename(textPath),
        sha256: createHash('sha256').update(bytes).digest('hex'),
        contextLength: compared.contextLength,
        chunks: compared.chunks,
        scoredTokens: compared.negativeLogLikelihoods.length,
      },
      perplexity: perplexityOf(compared.negativeLogLikelihoods),
      ...(external === undefined ? {} : { external }),
      perplexityRatio: ratio,
      divergence,
      ...(versus === undefined ? {} : { versus }),
      gates: gateResults,
      passed: gateResults.every(({ passed }) => passed),
      llamaCpp: llamaVersion,
    }
  } finally {
    await base.dispose()
  }
}

async function* baseLogits(
  text: string,
  { model, text: textPath, against, againstLogits, saveLogits, contextLength = 512, chunks, threads, signal }: VerifyOptions,
): WithProgress<BaseLogits> {
  if (againstLogits !== undefined) return { path: againstLogits, name: basename(againstLogits), dispose: async () => {} }
  if (against === undefined) throw new TypeError('a reference or its logits are needed')
  if (saveLogits !== undefined) await checkTarget(saveLogits, [model, against, textPath], true)
  return yield* makeBaseLogits({
    against,
    text,
    contextLength,
    ...(chunks === undefined ? {} : { chunks }),
    ...(saveLogits === undefined ? {} : { save: saveLogits }),
    ...(threads === undefined ? {} : { threads }),
    ...(signal === undefined ? {} : { signal }),
  })
}

async function* compare(
  path: string,
  text: string,
  base: BaseLogits,
  { chunks, threads, signal }: VerifyOptions,
): WithProgress<[LogitsComparison, ModelInfo]> {
  const common = { ...(threads === undefined ? {} : { threads }), ...(signal === undefined ? {} : { signal }) }
  await using model = await loadModel(path, common)
  const work = model.compareLogits(base.path, text, { name: base.name, ...(chunks === undefined ? {} : { chunks }) })
  return [yield* work, model.info]
}

async function* secondOpinion(
  contextLength: number,
  { model, text, llamaDirectory: directory, chunks, threads, signal }: VerifyOptions,
): WithProgress<VerifyReport['external']> {
  if (directory === undefined) return undefined
  const { perplexity, standardError } = yield* externalPerplexity(model, text, {
    directory,
    contextLength,
    ...(chunks === undefined ? {} : { chunks }),
    ...(threads === undefined ? {} : { threads }),
    ...(signal === undefined ? {} : { signal }),
  })
  return { program: 'llama-perplexity', perplexity, ...(standardError === undefined ? {} : { standardError }) }
}

async function* versusOf(
  path: string,
  text: string,
  base: BaseLogits,
  compared: LogitsComparison,
  options: VerifyOptions,
): WithProgress<NonNullable<VerifyReport['versus']>> {
  const [other, { sizeBytes }] = yield* compare(path, text, base, options)
  const { kld, sameTop } = divergenceOf(other)
  return {
    name: basename(path),
    sizeBytes,
    perplexity: perplexityOf(other.negativeLogLikelihoods),
    kld: kld.mean,
    sameTop,
    difference: pairedDifference(compared, other),
  }
}

/** Names, digests and bits per weight of the model's files. */
async function describeModel(path: string): Promise<Pick<VerifyReport, 'files' | 'bitsPerWeight'>> {
  const model = await openGguf(path)
  try {
    let bytes = 0
    let elements = 0
    for (const { sizeBytes, dimensions } of model.tensors) {
      bytes += sizeBytes
      elements += dimensions.reduce((product, dimension) => product * dimension, 1)
    }
    const files: VerifyReport['files'] = []
    for (const [index, name] of model.files.entries()) {
      const hash = createHash('sha256')
      for await (const piece of createReadStream(name)) hash.update(piece as Buffer)
      files.push({ name: basename(name), sha256: hash.digest('hex'), sizeBytes: model.sources[index]?.byteLength ?? 0 })
    }
    return { files, bitsPerWeight: (8 * bytes) / elements }
  } finally {
    await model.close()
  }
}
