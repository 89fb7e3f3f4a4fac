import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { partialName } from '../files/index.js'
import { inStage, type WithProgress } from '../progress/index.js'
import { type ChunkRange, type LoadModel, loadModel } from '../runner/index.js'
import type { IdentifiedReference } from './describe-files.js'
import type { FileIdentity } from './report.js'

/** Base logits on disk: what a model is compared with. */
export interface BaseLogits {
  readonly path: string
  /** What to call the reference. */
  readonly name: string
  /** The files it was read from, by name and digest. */
  readonly files: FileIdentity[]
  /** Of a reference that is a GGUF. */
  readonly bitsPerWeight?: number
  /** Bytes of the reference's tensors, where it was run. */
  readonly sizeBytes?: number
  /**
   * The reference's own -ln p of each scored token, where it was run. Those read back from the file have lost what lies more than 16
   * below the highest logit, which makes the perplexity of a reference too low on text that it predicts badly.
   */
  readonly negativeLogLikelihoods?: Float64Array
  /** Clears away what was made and is not to stay. */
  dispose(): Promise<void>
}

/** The reference, the text, and where its logits go. */
export interface BaseLogitsOptions {
  /** A GGUF, or a checkpoint folder. */
  readonly reference: IdentifiedReference
  readonly text: string
  readonly contextLength: number
  readonly chunks?: number
  /** Only these of the chunks. */
  readonly range?: ChunkRange | undefined
  /** Where the logits are to stay; by default they are kept in a temporary folder for as long as they are needed. */
  readonly save?: string
  /** Adapters to merge into a checkpoint. */
  readonly lora?: readonly string[] | undefined
  /** Loads the model; by default loadModel. */
  readonly load?: LoadModel | undefined
  readonly threads?: number
  readonly signal?: AbortSignal
}

/**
 * Runs the reference over the text and keeps its logits in a file, which has its name when it is whole.
 * @throws MqError as asGguf, loadModel and LlamaModel.saveLogits do.
 */
export async function* makeBaseLogits(options: BaseLogitsOptions): WithProgress<BaseLogits> {
  const { reference: against, text, contextLength, chunks, range, save, lora, load = loadModel, threads, signal } = options
  const common = { threads, signal }
  // Loaded here: a comparison with base logits that are there already has no use for it.
  const { asGguf } = await import('../quantize/index.js')
  const reference = yield* asGguf(against.path, 'convert the reference', { ...common, lora })
  const folder = save === undefined ? await mkdtemp(join(tmpdir(), 'mq-logits-')) : undefined
  const path = save ?? join(folder as string, 'base.logits')
  const dispose = async (): Promise<void> => {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  }
  try {
    await using model = await load(reference.path, common)
    const work = model.saveLogits(path, text, { contextLength, chunks, ...(range && { range }) })
    const { negativeLogLikelihoods } = yield* inStage('perplexity of the reference', work)
    return {
      path,
      name: basename(resolve(against.path)),
      files: against.files,
      bitsPerWeight: against.bitsPerWeight,
      sizeBytes: model.info.sizeBytes,
      negativeLogLikelihoods,
      dispose,
    }
  } catch (error) {
    // What is left where the child ended.
    await rm(partialName(path), { force: true })
    await dispose()
    throw error
  } finally {
    await reference.dispose()
  }
}
