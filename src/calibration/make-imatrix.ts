import { rm } from 'node:fs/promises'
import { basename } from 'node:path'
import { checkTarget, readText } from '../files/index.js'
import type { ToGguf } from '../model/index.js'
import type { WithProgress } from '../progress/index.js'
import { type CovarianceGroup, externalImatrix, loadModel } from '../runner/index.js'
import { formatBytes, formatTable } from '../terminal/index.js'
import { readMatrix } from './read-matrix.js'

export interface ImatrixOptions {
  /** A GGUF, or what `toGguf` can turn into one. */
  readonly model: string
  /** Turns a checkpoint into a GGUF. */
  readonly toGguf: ToGguf
  /** UTF-8 text to calibrate on. */
  readonly text: string
  readonly output: string
  /** Tokens of a chunk; by default 512, as llama-imatrix. */
  readonly contextLength?: number
  /** At most so many chunks of the text. */
  readonly chunks?: number
  /** Looks at the inputs of output.weight, too. */
  readonly processOutput?: boolean
  /**
   * Directions to keep of how the inputs' columns go together, for error feedback; 0: nothing but importance. By default `auto`: narrow
   * inputs whole, wide ones by their width.
   */
  readonly rank?: number | 'auto'
  /** Folder of a llama.cpp of the user's own, whose llama-imatrix is to compute the importance; of covariances nothing is kept then. */
  readonly llamaDirectory?: string
  /** Bytes that all sums of covariances together may have; by default 1 GiB. */
  readonly covarianceMemory?: number
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
  /** What is kept of the inputs' covariances, by kind of input; empty where nothing is. */
  readonly covariance: readonly CovarianceGroup[]
  /** Chunks that are in no covariance; rows of them are kept, to choose the damping of feedback by. */
  readonly chunksLeftOut: number
}

const defaultMemory = 2 ** 30

/**
 * Computes an importance matrix of a model on a text and writes it in the GGUF form, equal to llama-imatrix's within rounding.
 * @throws MqError FILE_MISSING, OUTPUT_EXISTS, FILE_UNWRITABLE, MODEL_REJECTED, TEXT_TOO_SHORT, ACTIVATIONS_NOT_FINITE, LLAMA_MISSING,
 *   LLAMA_CRASHED, INTERRUPTED, and what a conversion of the checkpoint throws.
 */
export async function* makeImatrix(options: ImatrixOptions): WithProgress<ImatrixReport> {
  const { covarianceMemory: memory = defaultMemory } = options
  const { output, contextLength = 512, chunks, processOutput = false, rank = 'auto', force = false, threads, signal } = options
  const common = { threads, signal }
  const { content: text } = await readText(options.text, { chunks, contextLength })
  await checkTarget(output, [options.model, options.text], force)
  const loadable = yield* options.toGguf(options.model, 'convert the checkpoint', common)
  try {
    if (options.llamaDirectory !== undefined) {
      const optional = { ...common, chunks }
      const request = { directory: options.llamaDirectory, contextLength, output: processOutput, ...optional }
      yield* externalImatrix(loadable.path, options.text, output, request)
      return await externalReport(output, basename(options.text), contextLength)
    }
    await using model = await loadModel(loadable.path, common)
    const dataset = basename(options.text)
    const covariance = rank === 0 ? {} : { covariance: { rank, memory } }
    const request = { dataset, contextLength, output: processOutput, chunks, ...covariance }
    const collected = yield* model.imatrix(output, text, request)
    const unseenExperts = collected.tensors
      .filter(({ unseen }) => unseen > 0)
      .map(({ name, matrices, unseen }) => ({ tensor: name, experts: matrices, unseen }))
    const { chunks: count, tensors, covariance: groups, chunksLeftOut } = collected
    return {
      output,
      text: dataset,
      contextLength,
      chunks: count,
      tensors: tensors.length,
      unseenExperts,
      covariance: groups,
      chunksLeftOut,
    }
  } catch (error) {
    // what a process that was killed while it wrote has left
    await rm(`${output}.partial`, { force: true })
    throw error
  } finally {
    await loadable.dispose()
  }
}

/** What the user's llama-imatrix has written. */
async function externalReport(output: string, text: string, contextLength: number): Promise<ImatrixReport> {
  const { entries, chunks } = await readMatrix(output)
  const unseenExperts = [...entries].flatMap(([tensor, { counts }]) => {
    const unseen = counts.filter((count) => count === 0).length
    return unseen === 0 ? [] : [{ tensor, experts: counts.length, unseen }]
  })
  return { output, text, contextLength, chunks, tensors: entries.size, unseenExperts, covariance: [], chunksLeftOut: 0 }
}

/** The report as a user reads it on the terminal. */
export function imatrixText(report: ImatrixReport): string {
  const { output, text, contextLength, chunks, tensors, unseenExperts } = report
  const lines = [`${output}: inputs of ${tensors} weights on ${text}, ${chunks} chunks of ${contextLength} tokens.`]
  const unseen = unseenExperts.reduce((sum, entry) => sum + entry.unseen, 0)
  const experts = unseenExperts.reduce((sum, entry) => sum + entry.experts, 0)
  if (unseen > 0) {
    lines.push(`No token reached ${unseen} of the ${experts} experts of ${unseenExperts.length} weights: calibrate on more text.`)
  }
  lines.push(...covarianceLines(report))
  return lines.join('\n')
}

const inputWords = { shared: 'of whole weights', heads: 'of heads, each its own', experts: 'of experts, each its own' } as const

function covarianceLines({ covariance, chunksLeftOut }: ImatrixReport): string[] {
  if (covariance.length === 0) return []
  const bytes = covariance.reduce((sum, group) => sum + group.bytes, 0)
  const rows = covariance.map(({ inputs, columns, matrices, kind, form, rank, bytes, why }) => [
    `${inputs} ${inputWords[kind]}`,
    `${columns}`,
    `${matrices}`,
    form === 'sketch' ? `${rank} directions` : form,
    formatBytes(bytes),
    why,
  ])
  const titles = [
    { title: 'inputs' },
    { title: 'columns', align: 'right' as const },
    { title: 'matrices', align: 'right' as const },
    { title: 'kept' },
    { title: 'size', align: 'right' as const },
    { title: 'because' },
  ]
  return [
    `Covariances of the inputs take ${formatBytes(bytes)}; ${chunksLeftOut} chunks are left out of them, to choose a damping by.`,
    '',
    formatTable(titles, rows),
  ]
}
