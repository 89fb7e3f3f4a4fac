import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { openGguf } from '../../formats/gguf/index.js'
import { MqError } from '../errors.js'
import type { WithProgress } from '../progress.js'
import { loadModel, type Perplexity } from '../runner/index.js'
import { checkGates, type Gates } from './gates.js'
import { openReference } from './reference.js'
import type { VerifyReport } from './report.js'
import { perplexityOf, perplexityRatio } from './statistics.js'

export interface VerifyOptions {
  /** The GGUF to be proved; any shard of a split model. */
  readonly model: string
  /** What it is to be like: a GGUF of higher precision, or the checkpoint folder itself. */
  readonly against: string
  /** UTF-8 text that neither training nor calibration has seen. */
  readonly text: string
  /** Tokens of a chunk; by default 512, as llama-perplexity. */
  readonly contextLength?: number
  /** At most so many chunks of the text. */
  readonly chunks?: number
  readonly gates?: Gates
  readonly threads?: number
  readonly signal?: AbortSignal
}

/**
 * Measures a model against its reference on the same tokens of a text, and holds the result against the gates. A gate that fails is a
 * result, not an exception: see gateError.
 * @throws MqError FILE_MISSING, MODEL_REJECTED, LLAMA_MISSING, TEXT_TOO_SHORT, INTERRUPTED and what a conversion of the reference throws.
 */
export async function* verify(options: VerifyOptions): WithProgress<VerifyReport> {
  const { model, against, text: textPath, gates = {} } = options
  const bytes = await readFile(textPath).catch((error: unknown) => {
    throw MqError.from(error, textPath)
  })
  const text = bytes.toString('utf8')
  const file = await describeModel(model)

  const reference = yield* openReference(against, options)
  try {
    const [measured] = yield* measure(model, text, 'perplexity', options)
    const [base, baseInfo] = yield* measure(reference.path, text, 'perplexity of the reference', options)
    if (measured.negativeLogLikelihoods.length !== base.negativeLogLikelihoods.length) {
      throw MqError.of('REFERENCE_MISMATCH', { file: model, reference: against })
    }
    const ratio = perplexityRatio(measured.negativeLogLikelihoods, base.negativeLogLikelihoods)
    const gateResults = checkGates(gates, { perplexityRatio: ratio.value })
    return {
      version: 1,
      ...file,
      reference: {
        name: basename(resolve(against)),
        sizeBytes: baseInfo.sizeBytes,
        perplexity: perplexityOf(base.negativeLogLikelihoods),
      },
      text: {
        name: basename(textPath),
        sha256: createHash('sha256').update(bytes).digest('hex'),
        contextLength: measured.contextLength,
        chunks: measured.chunks,
        scoredTokens: measured.negativeLogLikelihoods.length,
      },
      perplexity: perplexityOf(measured.negativeLogLikelihoods),
      perplexityRatio: ratio,
      gates: gateResults,
      passed: gateResults.every(({ passed }) => passed),
      llamaCpp: baseInfo.llamaVersion,
    }
  } finally {
    await reference.dispose()
  }
}

async function* measure(
  path: string,
  text: string,
  stage: string,
  { contextLength = 512, chunks, threads, signal }: VerifyOptions,
): WithProgress<[Perplexity, { sizeBytes: number; llamaVersion: string }]> {
  const common = { ...(threads === undefined ? {} : { threads }), ...(signal === undefined ? {} : { signal }) }
  const model = await loadModel(path, common)
  try {
    const work = model.perplexity(text, { contextLength, ...(chunks === undefined ? {} : { chunks }) })
    for (;;) {
      const step = await work.next()
      if (step.done === true) return [step.value, model.info]
      yield { ...step.value, stage }
    }
  } finally {
    await model.close()
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
