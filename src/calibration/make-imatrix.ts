import { rm } from 'node:fs/promises'
import { basename } from 'node:path'
import { checkTarget, partialName, readText } from '../files/index.js'
import type { ToGguf } from '../model/index.js'
import type { WithProgress } from '../progress/index.js'
import type { ChunkRange, CovarianceGroup, ImatrixResult, LlamaModel, LoadModel } from '../runner/index.js'
import { formatBytes, formatTable } from '../terminal/index.js'
import { builtInText } from './built-in-text.js'
import { chunkGroups, groupBatchesOf } from './chunk-groups.js'
import { mergeGroups } from './merge.js'
import { readMatrix } from './read-matrix.js'

/** A calibration run: the model, the text, and what is collected. */
export interface ImatrixOptions {
  /** A GGUF file, or a source that `toGguf` converts. */
  readonly model: string
  /** Converts a checkpoint to GGUF. */
  readonly toGguf: ToGguf
  /** UTF-8 text to calibrate on; by default `builtInText`. */
  readonly text?: string
  readonly output: string
  /** Adapters to merge into a checkpoint, as in BlueprintOptions. */
  readonly lora?: readonly string[]
  /** Tokens of a chunk; by default 512, as llama-imatrix. */
  readonly contextLength?: number
  /** Maximum number of chunks of the text. */
  readonly chunks?: number
  /** Collects on one of chunkGroups alone: mergeGroups adds the files of all of them up. */
  readonly group?: ChunkRange
  /** Batches of 512 tokens whose sums are made by themselves: by default as groupBatchesOf says of the model. */
  readonly groupBatches?: number
  /** Collects statistics for output.weight, too. */
  readonly processOutput?: boolean
  /**
   * Rank of the input covariances, for error feedback; 0: importance matrix only. By default `auto`: full covariances of inputs with up to
   * 1024 columns, rank 64 of wider ones.
   */
  readonly rank?: number | 'auto'
  /** Folder of llama.cpp programs, whose llama-imatrix is to compute the importance matrix; without covariances. */
  readonly llamaDirectory?: string
  /** Limit for all covariances together, in bytes; by default 1 GiB. */
  readonly covarianceMemory?: number
  /** Overwrites an existing file. */
  readonly force?: boolean
  /** Loads the model; by default loadModel. */
  readonly load?: LoadModel
  readonly threads?: number
  readonly signal?: AbortSignal
}

/** Report of a calibration run. */
export interface ImatrixReport {
  readonly output: string
  readonly text: string
  readonly contextLength: number
  readonly chunks: number
  /** Tensors with activation statistics. */
  readonly tensors: number
  /** Tensors with experts to which no token was routed. */
  readonly unseenExperts: readonly { readonly tensor: string; readonly experts: number; readonly unseen: number }[]
  /** Input covariances by kind of input; empty where there are none. */
  readonly covariance: readonly CovarianceGroup[]
  /** Held-out chunks: not part of the covariances, but sampled to choose the damping. */
  readonly chunksLeftOut: number
}

const defaultCovarianceBytes = 2 ** 30

/**
 * Runs a model over a text and writes its importance matrix, equal to llama-imatrix's within rounding, and its input covariances as GGUF.
 * Long texts are summed in groups of chunks (chunkGroups).
 * @throws MqError FILE_MISSING, OUTPUT_EXISTS, FILE_UNWRITABLE, MODEL_REJECTED, TEXT_TOO_SHORT, ACTIVATIONS_NOT_FINITE, LLAMA_MISSING,
 *   LLAMA_CRASHED, INTERRUPTED, and what a conversion of the checkpoint throws.
 */
export async function* makeImatrix(options: ImatrixOptions): WithProgress<ImatrixReport> {
  const { covarianceMemory: memory = defaultCovarianceBytes } = options
  const {
    text: textPath = builtInText,
    output,
    contextLength = 512,
    chunks,
    processOutput = false,
    rank = 'auto',
    force = false,
    threads,
    signal,
  } = options
  const common = { threads, signal }
  // Loaded here: who reads a calibration has no use for llama.cpp.
  const { chunksOfTokens, externalImatrix, loadModel } = await import('../runner/index.js')
  const { content: text } = await readText(textPath, { chunks, contextLength })
  await checkTarget(output, [options.model, textPath], force)
  const loadable = yield* options.toGguf(options.model, 'convert the checkpoint', { ...common, lora: options.lora })
  try {
    if (options.llamaDirectory !== undefined) {
      const optional = { ...common, chunks }
      const request = { directory: options.llamaDirectory, contextLength, output: processOutput, ...optional }
      yield* externalImatrix(loadable.path, textPath, output, request)
      return await writtenReport(output, basename(textPath), contextLength)
    }
    await using model = await (options.load ?? loadModel)(loadable.path, common)
    const dataset = basename(textPath)
    const covariance = rank === 0 ? {} : { covariance: { rank, memory } }
    const request = { dataset, contextLength, output: processOutput, chunks, ...covariance }
    const groupsOfText = async (): Promise<ChunkRange[]> => {
      const { length: tokens } = await model.tokenize(text, { special: true })
      const batches = options.groupBatches ?? (await groupBatchesOf(loadable.path))
      return chunkGroups(chunksOfTokens(tokens, contextLength, chunks), contextLength, batches)
    }
    const groups = options.group === undefined ? await groupsOfText() : [options.group]
    if (groups.length < 2) {
      const collected = yield* model.imatrix(output, text, { ...request, ...(groups[0] && { range: groups[0] }) })
      return reportOf(output, dataset, contextLength, collected)
    }
    return yield* inGroups(model, text, output, groups, request)
  } catch (error) {
    // what a process that was killed while it wrote has left
    await rm(`${output}.partial`, { force: true })
    throw error
  } finally {
    await loadable.dispose()
  }
}

type CollectRequest = Parameters<LlamaModel['imatrix']>[2] & { readonly contextLength: number }

/** Collects group by group, each in a file beside the output for as long as it takes, and adds these up. */
async function* inGroups(
  model: LlamaModel,
  text: string,
  output: string,
  groups: readonly ChunkRange[],
  request: CollectRequest,
): WithProgress<ImatrixReport> {
  const files = groups.map((_, index) => partialName(`${output}.group${index}`))
  const total = groups.at(-1)?.end ?? 0
  const collected: ImatrixResult[] = []
  try {
    for (const [index, range] of groups.entries()) {
      const work = model.imatrix(files[index] as string, text, { ...request, range })
      for (let step = await work.next(); ; step = await work.next()) {
        if (step.done === true) {
          collected.push(step.value)
          break
        }
        yield { ...step.value, done: range.first + step.value.done, total }
      }
    }
    await mergeGroups(files, output, { force: true })
  } finally {
    for (const file of files) for (const name of [file, partialName(file)]) await rm(name, { force: true })
  }
  const { contextLength, dataset } = request
  const chunksLeftOut = collected.reduce((sum, group) => sum + group.chunksLeftOut, 0)
  const whole = await writtenReport(output, dataset, contextLength)
  return { ...whole, covariance: collected[0]?.covariance ?? [], chunksLeftOut }
}

function reportOf(
  output: string,
  text: string,
  contextLength: number,
  { chunks, tensors, covariance, chunksLeftOut }: ImatrixResult,
): ImatrixReport {
  const unseenExperts = tensors
    .filter(({ unseen }) => unseen > 0)
    .map(({ name, matrices, unseen }) => ({ tensor: name, experts: matrices, unseen }))
  return { output, text, contextLength, chunks, tensors: tensors.length, unseenExperts, covariance, chunksLeftOut }
}

/** The report of a file that was written. */
async function writtenReport(output: string, text: string, contextLength: number): Promise<ImatrixReport> {
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
  const lines = [
    `${output}: activation statistics of ${tensors} tensors on ${text}, ${chunks} chunks of ${contextLength} tokens.`,
  ]
  const unseen = unseenExperts.reduce((sum, entry) => sum + entry.unseen, 0)
  const experts = unseenExperts.reduce((sum, entry) => sum + entry.experts, 0)
  if (unseen > 0) {
    lines.push(
      `No token was routed to ${unseen} of the ${experts} experts of ${unseenExperts.length} tensors: calibrate on more text.`,
    )
  }
  if (text === basename(builtInText))
    lines.push(`${text} is the text of the package: text like that which the model will process (--text) calibrates better.`)
  lines.push(...covarianceLines(report))
  return lines.join('\n')
}

const inputWords = { shared: 'shared', heads: 'by head', experts: 'by expert' } as const

function covarianceLines({ covariance, chunksLeftOut }: ImatrixReport): string[] {
  if (covariance.length === 0) return []
  const bytes = covariance.reduce((sum, group) => sum + group.bytes, 0)
  const rows = covariance.map(({ inputs, columns, matrices, kind, form, rank, bytes, why }) => [
    `${inputs} ${inputWords[kind]}`,
    `${columns}`,
    `${matrices}`,
    form === 'sketch' ? `rank ${rank}` : form === 'whole' ? 'full' : form,
    formatBytes(bytes),
    why,
  ])
  const titles = [
    { title: 'inputs' },
    { title: 'columns', align: 'right' as const },
    { title: 'matrices', align: 'right' as const },
    { title: 'covariance' },
    { title: 'size', align: 'right' as const },
    { title: 'reason' },
  ]
  return [
    `Input covariances: ${formatBytes(bytes)}. ${chunksLeftOut} chunks are held out, to choose the damping.`,
    '',
    formatTable(titles, rows),
  ]
}
