import { readFile, rm } from 'node:fs/promises'
import { basename } from 'node:path'
import { asGguf } from '../as-gguf.js'
import { MqError } from '../errors.js'
import type { WithProgress } from '../progress.js'
import { checkTarget } from '../quantize/index.js'
import { loadModel } from '../runner/index.js'

export interface ImatrixOptions {
  /** A GGUF, or a checkpoint folder. */
  readonly model: string
  /** UTF-8 text to calibrate on. */
  readonly text: string
  readonly output: string
  /** Tokens of a chunk; by default 512, as llama-imatrix. */
  readonly contextLength?: number
  /** At most so many chunks of the text. */
  readonly chunks?: number
  /** Looks at the inputs of output.weight, too. */
  readonly processOutput?: boolean
  /** Replaces a file that is there already. */
  readonly force?: boolean
  readonly threads?: number
  readonly signal?: AbortSignal
}

/** What was collected. */
export interface ImatrixReport {
  readonly output: string
  readonly text: string
  readonly contextLength: number
  readonly chunks: number
  /** Weights of which the inputs were seen. */
  readonly tensors: number
  /** Weights with experts that no token reached. */
  readonly unseenExperts: readonly { readonly tensor: string; readonly experts: number; readonly unseen: number }[]
}

/**
 * Computes an importance matrix of a model on a text and writes it in the GGUF form, equal to llama-imatrix's within rounding.
 * @throws MqError FILE_MISSING, OUTPUT_EXISTS, FILE_UNWRITABLE, MODEL_REJECTED, TEXT_TOO_SHORT, ACTIVATIONS_NOT_FINITE, LLAMA_MISSING,
 *   LLAMA_CRASHED, INTERRUPTED, and what a conversion of the checkpoint throws.
 */
export async function* makeImatrix(options: ImatrixOptions): WithProgress<ImatrixReport> {
  const { output, contextLength = 512, chunks, processOutput = false, force = false, threads, signal } = options
  const common = { ...(threads === undefined ? {} : { threads }), ...(signal === undefined ? {} : { signal }) }
  const text = await readFile(options.text, 'utf8').catch((error: unknown) => {
    throw MqError.from(error, options.text)
  })
  await checkTarget(output, [options.model, options.text], force)
  const loadable = yield* asGguf(options.model, 'convert the checkpoint', common)
  try {
    await using model = await loadModel(loadable.path, common)
    const dataset = basename(options.text)
    const request = { dataset, contextLength, output: processOutput, ...(chunks === undefined ? {} : { chunks }) }
    const collected = yield* model.imatrix(output, text, request)
    const unseenExperts = collected.tensors
      .filter(({ unseen }) => unseen > 0)
      .map(({ name, matrices, unseen }) => ({ tensor: name, experts: matrices, unseen }))
    return { output, text: dataset, contextLength, chunks: collected.chunks, tensors: collected.tensors.length, unseenExperts }
  } catch (error) {
    // what a process that was killed while it wrote has left
    await rm(`${output}.partial`, { force: true })
    throw error
  } finally {
    await loadable.dispose()
  }
}

/** The report as a user reads it on the terminal. */
export function imatrixText({ output, text, contextLength, chunks, tensors, unseenExperts }: ImatrixReport): string {
  const lines = [`${output}: inputs of ${tensors} weights on ${text}, ${chunks} chunks of ${contextLength} tokens.`]
  const unseen = unseenExperts.reduce((sum, entry) => sum + entry.unseen, 0)
  const experts = unseenExperts.reduce((sum, entry) => sum + entry.experts, 0)
  if (unseen > 0) {
    lines.push(`No token reached ${unseen} of the ${experts} experts of ${unseenExperts.length} weights: calibrate on more text.`)
  }
  return lines.join('\n')
}
